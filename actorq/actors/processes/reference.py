"""How a worker process finds a function again: by its module and its name in it, and by nothing else.

A function cannot travel. What can is where it stands; so whatever stands nowhere (a lambda, a function inside of a
function, an object with arguments bound to it) is refused where the task is declared, and what turns out to stand
elsewhere when it is first submitted: at the declaration its module is not complete.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from attrs import frozen

from actorq.errors import UnsendableTask

__all__ = ["Reference", "check_sendable", "find", "reference_of"]


@frozen
class Reference:
    """Where a function stands."""

    module: str
    qualname: str

    def __str__(self) -> str:
        return f"{self.module}.{self.qualname}"


def check_sendable(fn: Callable[..., Any], name: str) -> None:
    """Refuse a function that no other process would find. Its module need not be complete yet.

    Raises:
        UnsendableTask: it is none, or there are no worker processes here.
    """
    why = _why_no_processes() or _why_not_function(fn) or _why_not_module(fn.__module__)
    if why is not None:
        raise UnsendableTask(name, why)


def reference_of(fn: Callable[..., Any], name: str) -> Reference:
    """Return where the function stands, now that its module is complete.

    Raises:
        UnsendableTask: something else stands there, or nothing does.
    """
    check_sendable(fn, name)
    reference = Reference(fn.__module__, fn.__qualname__)
    module = sys.modules.get(reference.module)
    try:
        found = None if module is None else _look_up(module, reference.qualname)
    except AttributeError:
        found = None
    if found is not fn:
        raise UnsendableTask(
            name, f"is not what a worker process would find as {reference}: keep it under its own name in its module"
        )
    return reference


def find(reference: Reference) -> Callable[..., Any]:
    """Import the module, and return the function.

    Raises:
        ImportError, AttributeError, or whatever the module raises.
    """
    fn: Callable[..., Any] = _look_up(importlib.import_module(reference.module), reference.qualname)
    return fn


def _look_up(module: ModuleType, qualname: str) -> Any:
    found: Any = module
    for name in qualname.split("."):
        found = getattr(found, name)
    return found if inspect.isroutine(found) else getattr(found, "fn", found)  # a task holds its function


def _why_no_processes() -> str | None:
    if os.name != "posix":
        return 'cannot have run_in="process": worker processes are for POSIX systems'
    if getattr(sys, "frozen", False):
        return 'cannot have run_in="process": a frozen program has no interpreter to start'
    return None


def _why_not_function(fn: Callable[..., Any]) -> str | None:
    """Return why the object itself cannot be found by a name."""
    if isinstance(fn, partial):
        return 'is a partial, and run_in="process" wants a function of a module: write a def that makes the call'
    if inspect.ismethod(fn):
        return 'is a method bound to an object, which cannot follow to a process: run_in="process" wants a function'
    if not inspect.isroutine(fn):
        return f'is a {type(fn).__name__} object, and run_in="process" wants a function of a module'
    if "<lambda>" in fn.__qualname__:
        return 'is a lambda, which a worker process cannot find: run_in="process" wants a def'
    if "<locals>" in fn.__qualname__:
        return 'is local to a function, where a worker process cannot find it: run_in="process" wants it in a module'
    return None


def _why_not_module(module: str | None) -> str | None:
    """Return why its module cannot be imported elsewhere."""
    if module is None:
        return 'belongs to no module, so a worker process cannot find it: run_in="process" wants a def'
    if module != "__main__":
        return None
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        is_package = spec.name == "__main__" or spec.name.endswith(".__main__")
        return f"stands in {spec.name}, which is not imported again: move it to another module" if is_package else None
    path = getattr(main, "__file__", None)
    if path is None or not os.path.isfile(path):  # noqa: PTH113 - a look, and no path is made of it
        return "was typed into an interpreter, where a worker process cannot find it: put it into a file"
    return None
