"""Which functions a worker process would find, and why others are refused."""

import functools
import math
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import process_jobs as jobs
import pytest

from actorq import JobQueue
from actorq.actors.processes import Reference, check_sendable, reference_of
from actorq.actors.processes.reference import find
from actorq.errors import UnsendableTask


def plain() -> None: ...


class Callable:
    def __call__(self) -> None: ...

    def method(self) -> None: ...


def make() -> Any:
    def inner() -> None: ...

    return inner


@pytest.mark.parametrize(
    "fn", [jobs.add, jobs.async_sleep, jobs.Box.add, math.sqrt, len], ids=["def", "async def", "static", "sqrt", "len"]
)
def test_function_of_a_module_is_found_again(fn: Any) -> None:
    check_sendable(fn, "name")
    assert find(reference_of(fn, "name")) is fn


def test_function_is_found_where_its_task_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "add", JobQueue().task(jobs.add))
    assert find(reference_of(jobs.add.fn, "name")) is jobs.add.fn


@pytest.mark.parametrize(
    ("fn", "why"),
    [
        (lambda: None, "is a lambda"),
        (make(), "is local to a function"),
        (functools.partial(plain), "is a partial"),
        (Callable(), "is a Callable object"),
        (Callable, "is a type object"),
        (Callable().method, "is a method bound to an object"),
        ("text".upper, "belongs to no module"),
    ],
)
def test_what_stands_nowhere_is_refused_when_it_is_declared(fn: Any, why: str) -> None:
    with pytest.raises(UnsendableTask, match=r"^the name: ") as refusal:
        check_sendable(fn, "the name")
    assert refusal.value.name == "the name"
    assert refusal.value.why.startswith(why)


def test_function_whose_name_means_something_else_is_refused_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def other() -> None: ...

    other.__qualname__, other.__module__ = "add", jobs.__name__
    check_sendable(other, "name")  # its module may not be complete yet
    with pytest.raises(UnsendableTask, match=r"is not what a worker process would find as process_jobs\.add"):
        reference_of(other, "name")


def test_function_whose_name_is_gone_is_refused_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    add = jobs.add
    monkeypatch.delattr(jobs, "add")
    with pytest.raises(UnsendableTask, match=r"would find as process_jobs\.add"):
        reference_of(add, "name")


def test_function_whose_module_is_gone_is_refused_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "process_jobs")
    with pytest.raises(UnsendableTask):
        reference_of(jobs.add, "name")


def main_module(monkeypatch: pytest.MonkeyPatch, **attributes: Any) -> Any:
    """Make a function of a main module that is like this."""
    main = ModuleType("__main__")
    vars(main).update(attributes)
    monkeypatch.setitem(sys.modules, "__main__", main)

    def fn() -> None: ...

    fn.__module__, fn.__qualname__ = "__main__", "fn"
    vars(main)["fn"] = fn
    return fn


def test_function_of_a_script_is_found_in_the_main_module(monkeypatch: pytest.MonkeyPatch) -> None:
    fn = main_module(monkeypatch, __file__=__file__)
    assert reference_of(fn, "name") == Reference("__main__", "fn")


def test_function_of_a_module_that_was_run_by_its_name_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    fn = main_module(monkeypatch, __spec__=SimpleNamespace(name="package.module"))
    assert reference_of(fn, "name") == Reference("__main__", "fn")


def test_function_of_a_package_that_was_run_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    fn = main_module(monkeypatch, __spec__=SimpleNamespace(name="package.__main__"))
    with pytest.raises(UnsendableTask, match=r"stands in package\.__main__, which is not imported again"):
        check_sendable(fn, "name")


@pytest.mark.parametrize("attributes", [{}, {"__file__": "<stdin>"}])
def test_function_that_was_typed_into_an_interpreter_is_refused(
    attributes: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fn = main_module(monkeypatch, **attributes)
    with pytest.raises(UnsendableTask, match="was typed into an interpreter"):
        check_sendable(fn, "name")


def test_all_is_refused_where_there_are_no_such_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actorq.actors.processes.reference.os", SimpleNamespace(name="nt"))
    with pytest.raises(UnsendableTask, match="worker processes are for POSIX systems"):
        check_sendable(jobs.add, "name")


def test_frozen_program_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(UnsendableTask, match="a frozen program has no interpreter to start"):
        check_sendable(jobs.add, "name")
