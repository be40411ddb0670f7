"""Which coroutine awaits which: the chain from a coroutine to what holds it up.

A coroutine knows what it awaits. Between two of them there may be a thing without a frame: what drives an
asynchronous generator, a future, a task. Python tells of those only what they refer to, and asyncio, anyio and trio
keep in their own variables for which tasks they wait. Nothing of it is promised, so whatever is not found is left out.

Costs O(length of the chain), and some microseconds for each of its frames.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
from collections.abc import Iterable
from types import FrameType
from typing import Any, Final

from attrs import define

from actorq.actors.driven import Driven

__all__ = ["Chain", "follow", "is_drive", "library_of", "main_coroutine", "sentence"]

LIBRARIES: Final = frozenset({"anyio", "asyncio", "trio"})
"""Whose functions are where a coroutine comes to rest."""

CARRIERS: Final = frozenset(
    {"FutureIter", "anext_awaitable", "async_generator_asend", "async_generator_athrow", "coroutine_wrapper"}
)
"""Types that stand between two that await, and refer to what comes next."""

TRAPS: Final = "trio._core._traps"
"""Where every coroutine on trio comes to rest, whatever it waits for."""

NAMES_SHOWN: Final = 5


@define
class Chain:
    """A coroutine, and what it awaits."""

    frames: list[FrameType]
    is_suspended: bool = True
    """Whether all of them are; otherwise the last one is running, with whatever it has called."""
    has_begun: bool = True
    """Whether the last one has."""
    end: object = None
    """What has no frame, and holds up the last one."""
    tasks: tuple[object, ...] = ()
    """All that the last one waits for, if those are several."""


def follow(awaitable: object) -> Chain:
    """Return who awaits whom, from here on."""
    chain, seen = Chain([]), set[int]()
    while awaitable is not None and id(awaitable) not in seen:
        seen.add(id(awaitable))
        kind = _kind_of(awaitable)
        frame = None if kind is None else getattr(awaitable, f"{kind}_frame")
        if frame is not None and frame.f_globals.get("__name__") != TRAPS:
            chain.frames.append(frame)
        chain.end = awaitable if kind is None else None
        chain.has_begun = getattr(awaitable, "cr_suspended", True)
        following = _next(awaitable)
        if following is None and kind is not None and getattr(awaitable, f"{kind}_running"):
            chain.is_suspended = False
            break
        awaitable = _only_task(awaitable, chain) if following is None else following
    return chain


def _kind_of(awaitable: object) -> str | None:
    if inspect.iscoroutine(awaitable):
        return "cr"
    if inspect.isasyncgen(awaitable):
        return "ag"
    return "gi" if inspect.isgenerator(awaitable) else None


def _next(awaitable: Any) -> object:
    """Return what this one awaits, if Python tells."""
    if inspect.iscoroutine(awaitable):
        return awaitable.cr_await
    if inspect.isasyncgen(awaitable):
        return awaitable.ag_await
    if inspect.isgenerator(awaitable):
        frame: FrameType | None = awaitable.gi_frame
        return frame.f_locals["self"].coroutine if frame and is_drive(frame) else awaitable.gi_yieldfrom
    if type(awaitable).__name__ in CARRIERS:
        return next(iter(gc.get_referents(awaitable)), None)
    return _coroutine_of(awaitable) if _is_task(awaitable) else None


def is_drive(frame: FrameType) -> bool:
    """Tell whether a coroutine is driven here: what comes next is a function of the user's."""
    return frame.f_code is Driven.__await__.__code__


def main_coroutine(frame: FrameType) -> object:
    """Return for which coroutine an event loop turns here; None: it is none that does."""
    match frame.f_globals.get("__name__"), frame.f_code.co_qualname:
        case "asyncio.base_events", "BaseEventLoop.run_until_complete":
            return _coroutine_of(frame.f_locals["future"])
        case "trio._core._run", "run":
            return _coroutine_of(frame.f_locals["runner"].main_task)
        case _:
            return None


def _only_task(end: object, chain: Chain) -> object:
    """Go on with the task for which a library waits here, if it is one; note them, if they are several."""
    chain.tasks = tuple(_tasks_behind(end, chain.frames))
    return _coroutine_of(chain.tasks[0]) if len(chain.tasks) == 1 else None


def _coroutine_of(task: Any) -> object:
    """Return what a task of asyncio or trio runs; of a mere future, itself."""
    if _is_task(task):
        return None if task.done() else task.get_coro()
    return task if _is_future(task) else getattr(task, "coro", None)


def _is_task(thing: Any) -> bool:
    return isinstance(thing, asyncio.Task)


def _is_future(thing: Any) -> bool:
    return isinstance(thing, asyncio.Future)


def _tasks_behind(end: Any, frames: list[FrameType]) -> Iterable[object]:
    """Return the tasks whose end is waited for."""
    if _is_future(end):
        for callback, _ in getattr(end, "_callbacks", None) or ():
            if getattr(callback, "__qualname__", "") == "shield.<locals>._outer_done_callback":
                return [inspect.getclosurevars(callback).nonlocals["inner"]]
        if children := getattr(end, "_children", None):  # of gather()
            return [child for child in children if not child.done()]
    for frame in reversed(frames):
        if library_of(frame) is None:
            break
        if tasks := _tasks_in(frame):
            return tasks
    return []


def _tasks_in(frame: FrameType) -> list[object]:
    """Return the tasks for which a function of a library waits."""
    own, name = frame.f_locals, frame.f_code.co_qualname
    if name == "wait_for" and "fut" in own:
        return [own["fut"]]
    if name == "_wait":
        return [task for task in own["fs"] if not task.done()]
    if name == "TaskGroup.__aexit__":  # of asyncio, and of anyio there
        return [task for task in getattr(own["self"], "_tasks", ()) if not task.done()]
    if name == "NurseryManager.__aexit__":
        return [*own["self"]._nursery.child_tasks]  # noqa: SLF001 - trio shows them only in a task's child_nurseries
    return []


# -- in words --------------------------------------------------------------------------------------


def sentence(chain: Chain) -> str:
    """Say what holds up the last one of the chain."""
    if len(chain.tasks) > 1:
        names = sorted(_name_of(task) for task in chain.tasks)
        more = ", …" if len(names) > NAMES_SHOWN else ""
        return f"It waits for {len(names)} tasks: {', '.join(names[:NAMES_SHOWN])}{more}."
    where = _library_function(chain.frames)
    if where is not None:
        return f"It waits in {where}."
    if chain.end is None:
        return "It waits." if chain.has_begun else "It has not begun."
    return f"It waits for a {type(chain.end).__module__}.{type(chain.end).__qualname__}."


def _library_function(frames: list[FrameType]) -> str | None:
    """Return the function of a library that was called last by who does not belong to one."""
    name = None
    for frame in reversed(frames):
        library = library_of(frame)
        if library is None:
            break
        name = f"{library}.{frame.f_code.co_qualname}()"
    return name


def library_of(frame: FrameType) -> str | None:
    """Return the public name of the module, if it belongs to a library."""
    module = str(frame.f_globals.get("__name__"))
    root = module.partition(".")[0]
    if root not in LIBRARIES:
        return None
    return root if root == "asyncio" else module.partition("._")[0]


def _name_of(task: Any) -> str:
    if _is_task(task):
        return str(task.get_name())
    return str(getattr(task, "name", type(task).__qualname__))
