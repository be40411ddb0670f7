"""What is declared on a queue, open or not: its tasks, and its groups."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, Literal, ParamSpec, TypeVar, Unpack, cast, overload

from actorq.config import WORKERS_LIMIT, name, whole
from actorq.core import commands as c
from actorq.errors import InvalidOption, UnstorableTask
from actorq.function import Function, check_name, name_of
from actorq.task import CallOptions, ContextDecorator, Counter, Decorator, Task, TaskOptions, checked, job_options

__all__ = ["Declaring"]

P = ParamSpec("P")
R = TypeVar("R")


class Declaring(ABC):
    """The tasks and groups of a queue, and the options that hold for them."""

    def __init__(self, name: str, defaults: TaskOptions) -> None:
        """Begin with no tasks; ``defaults`` hold where nothing else is said."""
        self.name = name
        self.declarations = 0
        """How often options were declared."""
        self._functions: dict[str, Function] = {}
        self._tasks: dict[str, Task[..., Any]] = {}
        self._defaults = _task_options(defaults)
        self._groups: dict[str, tuple[int | None, TaskOptions]] = {}

    @property
    @abstractmethod
    def _counter(self) -> Counter:
        """Where calls of the tasks are submitted."""

    @abstractmethod
    def _tell_if_open(self, command: c.Command) -> None:
        """Let an open queue know what was declared."""

    def function_of(self, task: str) -> Function | None:
        """Return the function of the task, if there is one."""
        return self._functions.get(task)

    @overload
    def task(self, fn: Callable[P, Awaitable[R]], /) -> Task[P, R]: ...
    @overload
    def task(self, fn: Callable[P, R], /) -> Task[P, R]: ...
    @overload
    def task(
        self, fn: None = None, /, *, name: str | None = None, context: Literal[True], **options: Unpack[TaskOptions]
    ) -> ContextDecorator: ...
    @overload
    def task(
        self,
        fn: None = None,
        /,
        *,
        name: str | None = None,
        context: Literal[False] = False,
        **options: Unpack[TaskOptions],
    ) -> Decorator: ...
    def task(
        self,
        fn: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        context: bool = False,
        **options: Unpack[TaskOptions],
    ) -> Any:
        """Declare a function as a task of this queue. The decorated name stays callable as the plain function.

        Args:
            fn: ``async def`` runs on the event loop, ``def`` in a thread.
            name: by which stored jobs find it; its module and name, if not given.
            context: whether its first parameter is the :class:`JobContext`.
            options: of all its jobs; ``using`` says others for a call.

        Raises:
            UnstorableTask: the function has no name that a restart would find, or the name is taken.
            InvalidOption: a value out of range.
        """
        known = cast("CallOptions", checked(options, TaskOptions))

        def declare(fn: Callable[..., Any]) -> Task[..., Any]:
            function = Function(fn, check_name(name) if name is not None else name_of(fn), takes_context=context)
            if function.name in self._functions:
                raise UnstorableTask(
                    function.name, f"is a task of queue {self.name!r} already: give the other one a name with name="
                )
            task: Task[..., Any] = Task(self._counter, function, known)
            self._functions[function.name] = function
            self._tasks[function.name] = task
            self._tell_if_open(self._registration(task))
            return task

        return declare if fn is None else declare(fn)

    def group(self, group: str, /, *, limit: int | None = None, **options: Unpack[TaskOptions]) -> None:
        """Declare a group of jobs; or declare it anew.

        Args:
            group: its name, which jobs give as ``group=``.
            limit: how many of its jobs may run at a time; None: as many as there are workers.
            options: of its jobs, unless their task or their call say otherwise.

        Raises:
            InvalidOption: a value out of range.
        """
        name("group", group)
        if "group" in options:
            raise InvalidOption("group", options["group"], f"is no option of a group, and {group!r} is one")
        if limit is not None:
            whole("limit", limit, 1, WORKERS_LIMIT)
        self._groups[group] = limit, _task_options(options)
        self.declarations += 1
        self._tell_if_open(c.SetGroup(group, limit))
        for task in self._tasks.values():
            self._tell_if_open(self._registration(task))

    def defaults(self, options: TaskOptions) -> TaskOptions:
        """Return what holds where these options say nothing: the options of their group, and those of the queue."""
        group = options.get("group", self._defaults.get("group"))
        if group not in self._groups:
            return self._defaults
        return {**self._defaults, **self._groups[group][1]}

    def _declared(self) -> list[c.Command]:
        groups = [c.SetGroup(group, limit) for group, (limit, _) in self._groups.items()]
        return [*groups, *map(self._registration, self._tasks.values())]

    def _registration(self, task: Task[..., Any]) -> c.Register:
        return c.Register((task.name,), {task.name: task.job_options})


def _task_options(options: TaskOptions) -> TaskOptions:
    """Return the options if they are right."""
    checked(options, TaskOptions)
    job_options(options)
    return options
