"""What people do by mistake: each is refused with its name, or ends its own job, and hurts nothing else."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import anyio
import orjson
import pytest
from anyio.lowlevel import checkpoint

from actorq import (
    Filter,
    InvalidOption,
    InvalidState,
    JobFailed,
    JobHandle,
    JobNotFound,
    JobQueue,
    JobState,
    PayloadError,
    QueueClosed,
    Retry,
    StoreError,
    StoreTooNew,
    UnstorableTask,
    current_job,
)
from actorq.config import PAYLOAD_LIMIT, RESULT_LIMIT, TEXT_LIMIT
from actorq.store.line import HEADER_SEED, frame, unframe

ONCE = Retry(max_attempts=1)


async def echo(value: Any = None, other: Any = None) -> Any:
    await checkpoint()
    return value


async def outcome(fn: Callable[..., Any], *args: Any) -> JobFailed:
    """Run it as a job that must fail, and see that its one worker goes on."""
    async with JobQueue(workers=1) as queue:
        handle = await queue.task(name="bad", retry=ONCE)(fn).submit(*args)
        with pytest.raises(JobFailed) as caught:
            await handle.result(timeout=100)
        assert await queue.task(echo).run(5) == 5
        stats = await queue.stats()
        assert (stats.lost_workers, stats.live) == (0, 0)
    return caught.value


# -- payloads --------------------------------------------------------------------------------------


@dataclass
class Reading:
    value: float


@pytest.mark.parametrize(
    "bad",
    [
        object(),
        {1, 2},
        float("nan"),
        float("inf"),
        [1, {"a": [float("-inf")]}],
        Reading(float("nan")),
        {"r": [Reading(float("inf"))]},
        2**64,
        {1: "a"},
        "\ud800",
        1j,
        open,
    ],
    ids=["object", "set", "nan", "inf", "nested", "dataclass", "nested dataclass", "int", "key", "half", "j", "open"],
)
async def test_an_argument_that_is_not_json_is_refused_by_name(bad: object):
    async with JobQueue() as queue:
        with pytest.raises(PayloadError, match="argument 'other' cannot be stored"):
            await queue.task(echo).submit(1, other=bad)
        assert (await queue.stats()).submitted == 0


def test_what_contains_itself_is_refused():
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(PayloadError, match="argument 'value'"):
        JobQueue().task(echo).build(loop)


def test_a_payload_that_is_too_large_is_refused():
    with pytest.raises(PayloadError, match=f"the limit is {PAYLOAD_LIMIT}"):
        JobQueue().task(echo).build("x" * PAYLOAD_LIMIT)


@pytest.mark.parametrize(
    ("args", "kwargs"), [((1, 2, 3), {}), ((), {"nope": 1}), ((1,), {"value": 2})], ids=["many", "unknown", "twice"]
)
async def test_arguments_that_do_not_fit_the_signature_are_a_type_error(args: Any, kwargs: Any):
    async with JobQueue() as queue:
        with pytest.raises(TypeError, match=r"echo\(\): "):
            await queue.task(echo).submit(*args, **kwargs)
        with pytest.raises(TypeError, match=r"echo\(\): "):
            await queue.submit(echo, *args, **kwargs)


async def test_an_argument_of_a_wrong_type_fails_the_job_at_once_instead_of_parking_it():
    async def square(n: int) -> int:
        return n * n

    error = await outcome(square, "seven")
    assert (error.reason, error.attempts) == ("bad_payload", 1)
    assert "argument 'n'" in error.message


# -- options ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["delay", "timeout", "heartbeat_timeout", "expires", "deadline", "grace"])
@pytest.mark.parametrize(
    "value",
    [float("nan"), -1, float("inf"), 1e30, 10**400, 10**5000, "5", True, object()],
    ids=["nan", "minus", "inf", "long", "huge", "digits", "text", "true", "object"],
)
def test_a_time_that_is_none_is_refused_by_name(option: str, value: Any):
    with pytest.raises(InvalidOption, match=f"^{option}="):
        JobQueue().task(echo).using(**{option: value})


@pytest.mark.parametrize(
    "value",
    [float("nan"), -1, float("inf"), 1e30, 10**400, "2030-01-01", True],
    ids=["nan", "minus", "inf", "long", "huge", "text", "true"],
)
def test_an_instant_that_is_none_is_refused_by_name(value: Any):
    with pytest.raises(InvalidOption, match=r"^run_at="):
        JobQueue().task(echo).using(run_at=value)


@pytest.mark.parametrize(
    "options",
    [
        {"priority": "high"},
        {"priority": 2**40},
        {"retry": 5},
        {"tags": "ab"},
        {"tags": {"a": 1}},
        {"tags": 5},
        {"tags": [str(n) for n in range(10_000)]},
        {"group": 5},
        {"group": ""},
        {"group": "g" * 1_000_000},
        {"dead_letter": 5},
        {"dead_letter": None},
        {"key": "k" * 1_000_000},
        {"key": b"k"},
        {"on_conflict": "ignore"},
        {"on_conflict": None},
    ],
    ids=lambda options: str(options)[:30],
)
def test_an_option_of_a_wrong_kind_is_refused_by_name(options: dict[str, Any]):
    with pytest.raises(InvalidOption, match=f"^{next(iter(options))}=") as caught:
        JobQueue().task(echo).using(**options)
    assert len(str(caught.value)) < 500


def test_a_value_that_cannot_even_be_shown_is_refused_all_the_same():
    class Shy:
        def __repr__(self) -> str:
            raise RuntimeError

    with pytest.raises(InvalidOption, match=r"^delay=<Shy: RuntimeError>"):
        JobQueue().task(echo).using(delay=Shy())  # type: ignore[typeddict-item]


# -- functions -------------------------------------------------------------------------------------


def test_a_task_name_is_used_once():
    queue = JobQueue()
    queue.task(echo)
    with pytest.raises(UnstorableTask, match="is a task of queue 'default' already"):
        queue.task(echo)


def test_a_lambda_needs_a_name():
    with pytest.raises(UnstorableTask, match="is a lambda"):
        JobQueue().task(lambda: 5)
    JobQueue().task(name="five")(lambda: 5)


def test_a_local_function_needs_a_name():
    def local() -> None: ...

    with pytest.raises(UnstorableTask, match="is local to a function"):
        JobQueue().task(local)


@pytest.mark.parametrize("name", ["", "x" * 201, "a\nb"], ids=["empty", "long", "two lines"])
def test_a_name_is_a_line_of_bounded_length(name: str):
    with pytest.raises(UnstorableTask, match="printable"):
        JobQueue().task(name=name)(echo)


def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize("fn", [generator, async_generator], ids=["sync", "async"])
async def test_a_generator_is_no_task(fn: Callable[[], Any]):
    with pytest.raises(UnstorableTask, match="is a generator"):
        JobQueue().task(fn)
    async with JobQueue() as queue:
        with pytest.raises(UnstorableTask, match="is a generator"):
            await queue.submit(fn)


# -- results ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [object(), float("nan"), 2**64, "x" * RESULT_LIMIT], ids=["object", "nan", "int", "large"]
)
async def test_a_result_that_cannot_be_stored_fails_the_job_and_is_not_tried_again(value: Any):
    runs: list[int] = []

    async def work() -> Any:
        runs.append(1)
        return value

    async with JobQueue() as queue:
        with pytest.raises(JobFailed, match="the result") as caught:
            await queue.task(name="work")(work).run()
    assert (caught.value.reason, len(runs)) == ("bad_result", 1)


# -- exceptions ------------------------------------------------------------------------------------


class BrokenStr(Exception):
    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


class KillingStr(Exception):
    def __str__(self) -> str:
        raise SystemExit


class NoStr(Exception):
    def __str__(self) -> Any:
        return 5  # noqa: PLE0307


class Own(BaseException):
    pass


@pytest.mark.parametrize(
    "error",
    [
        BrokenStr(),
        KillingStr(),
        NoStr(),
        ValueError("x" * 10_000_000),
        ExceptionGroup("several", [ValueError(1), ExceptionGroup("more", [KeyError(2)])]),
        BaseExceptionGroup("worse", [SystemExit()]),
        SystemExit(1),
        KeyboardInterrupt(),
        GeneratorExit(),
        StopIteration(5),
        StopAsyncIteration(),
        Own("own"),
        asyncio.CancelledError("own"),
        OSError("\udc80 half a character"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("how", ["async", "sync"])
async def test_whatever_a_job_raises_is_its_own_failure(error: BaseException, how: str):
    async def raise_async() -> None:
        await checkpoint()
        raise error

    def raise_sync() -> None:
        raise error

    failed = await outcome(raise_async if how == "async" else raise_sync)
    assert failed.reason == "error"
    assert len(failed.message) <= TEXT_LIMIT
    assert len(failed.traceback) <= TEXT_LIMIT


async def test_the_loops_own_cancellation_raised_without_cause_is_a_failure(anyio_backend_name: str):
    async def work() -> None:
        caught: BaseException | None = None
        with anyio.CancelScope() as scope:
            scope.cancel()
            try:
                await checkpoint()
            except BaseException as error:
                caught = error
                raise
        assert caught is not None
        raise caught

    assert (await outcome(work)).type == ("CancelledError" if anyio_backend_name == "asyncio" else "Cancelled")


@pytest.mark.parametrize("then", ["returns", "awaits"])
@pytest.mark.asyncio_only
async def test_a_job_that_cancels_its_own_task_harms_nobody(then: str):
    async def work() -> int:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        if then == "awaits":
            await anyio.sleep(1)
        return 5

    if then == "awaits":
        assert (await outcome(work)).type == "CancelledError"
        return
    async with JobQueue(workers=1) as queue:
        assert await queue.task(name="work")(work).run() == 5
        assert await queue.task(echo).run(6) == 6
        await anyio.sleep(1)
        assert (await queue.stats()).lost_workers == 0


# -- jobs that submit and await jobs ------------------------------------------------------------------


async def test_a_job_may_submit_itself_again():
    seen: list[int] = []

    async with JobQueue(workers=1) as queue:

        @queue.task(name="down")
        async def down(n: int) -> None:
            seen.append(n)
            if n:
                await down.submit(n - 1)

        await down.submit(20)
        await queue.join()
    assert seen == list(range(20, -1, -1))


async def test_a_chain_of_jobs_that_await_each_other_needs_one_worker():
    async with JobQueue(workers=1) as queue:

        @queue.task(name="depth")
        async def depth(n: int) -> int:
            return 1 + await depth.run(n - 1) if n else 0

        assert await depth.run(50) == 50
        stats = await queue.stats()
        assert (stats.lent_slots, stats.workers) == (0, 1)


async def test_many_jobs_that_await_jobs_need_one_worker():
    async with JobQueue(workers=1) as queue:
        inner = queue.task(echo)

        @queue.task(name="outer")
        async def outer(n: int) -> int:
            handles: list[JobHandle[Any]] = [await inner.submit(n) for _ in range(3)]
            return sum([await handle for handle in handles])

        handles = await outer.submit_many(outer.build(n) for n in range(100))
        assert [await handle for handle in handles] == [3 * n for n in range(100)]


async def test_a_job_may_await_several_jobs_at_the_same_time():
    async with JobQueue(workers=1) as queue:
        inner = queue.task(echo)

        @queue.task(name="outer")
        async def outer() -> int:
            results: list[int] = []

            async def collect(n: int) -> None:
                results.append(await inner.using(delay=n).run(n))

            async with anyio.create_task_group() as group:
                for n in range(1, 6):
                    group.start_soon(collect, n)
            return sum(results)

        with anyio.fail_after(100):
            assert await outer.run() == 15
        assert (await queue.stats()).lent_slots == 0


async def test_a_job_that_awaits_itself_is_refused():
    async with JobQueue(workers=1) as queue:

        async def me() -> None:
            await queue.handle(current_job().job_id)

        with pytest.raises(JobFailed, match="waits for itself"):
            await queue.task(name="me", retry=ONCE)(me).run()


@pytest.mark.parametrize("verb", ["close", "join"])
async def test_a_job_that_would_have_to_end_first_is_refused(verb: str):
    async with JobQueue(workers=1) as queue:

        async def work() -> None:
            with pytest.raises(InvalidState, match=f"Cannot {verb} the queue from job .* would wait for itself"):
                await getattr(queue, verb)()

        await queue.task(name="work", retry=ONCE)(work).run()
    assert anyio.current_time() < 1


# -- jobs that leave something behind ------------------------------------------------------------------


async def test_a_task_that_a_job_leaves_behind_may_submit_and_wait():
    results: list[int] = []
    async with anyio.create_task_group() as group, JobQueue(workers=1) as queue:
        task = queue.task(echo)

        async def later() -> None:
            await anyio.sleep(1)
            results.append(await task.run(7))

        @queue.task(name="work", retry=ONCE)
        async def work() -> None:
            group.start_soon(later)
            await checkpoint()

        await work.run()
        await anyio.sleep(5)
    assert results == [7]


@pytest.mark.parametrize("deadline", [None, 1.0])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
async def test_a_cancel_scope_that_a_job_leaves_open_harms_nobody_for_long(deadline: float | None):
    async def leak() -> None:
        scope = anyio.CancelScope()
        if deadline is not None:
            scope.deadline = anyio.current_time() + deadline
        scope.__enter__()
        await checkpoint()

    queue = JobQueue(workers=1)
    with anyio.fail_after(1000):
        async with queue:
            await queue.task(name="leak")(leak).run()
            task = queue.task(name="sleep")(anyio.sleep)
            for _ in range(3):
                await task.run(2)
            assert (await queue.stats()).lost_workers <= 1


async def test_an_async_generator_that_a_job_leaves_open_harms_nobody():
    async def count() -> AsyncIterator[int]:
        for n in range(10):
            await checkpoint()
            yield n

    left: list[Any] = []

    async def leave() -> int:
        numbers = count()
        left.append(numbers)
        return await anext(numbers)

    async with JobQueue(workers=1) as queue:
        task = queue.task(name="leave")(leave)
        assert [await task.run() for _ in range(3)] == [0, 0, 0]
        for numbers in left:
            await numbers.aclose()
        assert (await queue.stats()).lost_workers == 0


# -- verbs ----------------------------------------------------------------------------------------------


VERBS = ("cancel", "pause", "resume", "promote", "rerun", "edit", "remove")


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("which", [None, 5, b"id", ["id"], object()], ids=lambda which: type(which).__name__)
async def test_a_verb_wants_the_id_of_a_job_or_a_filter(verb: str, which: Any):
    async with JobQueue() as queue:
        with pytest.raises(InvalidOption, match="wants the id of a job"):
            await getattr(queue, verb)(which)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("job_id", ["", "nobody", "x" * 1_000_000, "\ud800"], ids=["empty", "nobody", "1 MB", "half"])
async def test_a_verb_for_a_job_that_is_not_there_says_so(verb: str, job_id: str):
    async with JobQueue() as queue:
        for options in ({}, {"dry_run": True}):
            with pytest.raises(JobNotFound):
                await getattr(queue, verb)(job_id, **options)


@pytest.mark.parametrize(
    ("verb", "options"),
    [
        ("cancel", {"reason": 5}),
        ("rerun", {"delay": -1}),
        ("rerun", {"delay": "soon"}),
        ("rerun", {"per_second": 0}),
        ("rerun", {"per_second": -2}),
        ("rerun", {"per_second": float("nan")}),
        ("rerun", {"per_second": float("inf")}),
        ("rerun", {"per_second": True}),
        ("edit", {"priority": "high"}),
        ("edit", {"delay": -1}),
        ("edit", {"run_at": "tomorrow"}),
        ("edit", {"tags": [str(n) for n in range(10_000)]}),
        ("edit", {"group": ""}),
    ],
    ids=lambda part: str(part)[:25],
)
async def test_a_verb_with_a_wrong_option_changes_nothing(verb: str, options: dict[str, Any]):
    async with JobQueue() as queue:
        task = queue.task(echo)
        await task.run()
        await task.using(delay=5).submit()
        before = (await queue.find()).jobs
        with pytest.raises(InvalidOption, match=f"^{next(iter(options))}="):
            await getattr(queue, verb)(Filter(), **options)
        assert (await queue.find()).jobs == before


async def test_a_verb_with_an_option_that_does_not_exist_names_those_that_do():
    async with JobQueue() as queue:
        handle = await queue.task(echo).using(delay=5).submit()
        with pytest.raises(TypeError, match=r"unknown option prio; there are .*priority"):
            await queue.edit(handle.id, prio=3)  # type: ignore[call-overload]


@pytest.mark.parametrize("group", ["", "g" * 1_000_000, 5, None], ids=["empty", "1 MB", "int", "none"])
async def test_what_names_no_group_cannot_be_paused(group: Any):
    async with JobQueue() as queue:
        for verb in (queue.pause_group, queue.resume_group):
            with pytest.raises(InvalidOption, match=r"^group="):
                await verb(group)


@pytest.mark.parametrize("until", [float("nan"), -1, 1e30, "tomorrow", True], ids=str)
async def test_a_pause_until_no_time_is_refused(until: Any):
    async with JobQueue() as queue:
        for pause in (queue.pause_queue(until=until), queue.pause_group("red", until=until)):
            with pytest.raises(InvalidOption, match=r"^until="):
                await pause
        assert await queue.task(echo).run(1) == 1


async def test_pausing_twice_is_said_and_is_one_pause():
    async with JobQueue() as queue:
        handle = await queue.task(echo).using(delay=5).submit(1)
        await queue.pause(handle.id)
        with pytest.raises(InvalidState, match="it is paused"):
            await queue.pause(handle.id)
        assert [await queue.pause_group("red"), await queue.pause_group("red")] == [True, False]
        await queue.resume(handle.id)
        assert [await queue.resume_group("red"), await queue.resume_group("red")] == [True, False]
        assert await handle == 1


async def test_no_verb_is_answered_by_a_queue_that_is_not_open():
    queue = JobQueue()
    for verb in VERBS:
        with pytest.raises(QueueClosed):
            await getattr(queue, verb)("id")
        with pytest.raises(QueueClosed):
            await getattr(queue, verb)(Filter(), dry_run=True)
    for ask in (queue.pause_queue, queue.resume_queue, queue.drain):
        with pytest.raises(QueueClosed):
            await ask()


# -- directories -----------------------------------------------------------------------------------


async def open_queue(path: Path) -> NoReturn:
    async with JobQueue(path):
        pytest.fail("it opened")


async def test_a_path_that_is_a_file_is_refused(tmp_path: Path):
    path = tmp_path / "file"
    path.write_text("hello")
    with pytest.raises(StoreError) as caught:
        await open_queue(path)
    assert caught.value.path.startswith(str(path))
    assert path.read_text() == "hello"


async def test_a_path_below_a_file_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("hello")
    with pytest.raises(StoreError):
        await open_queue(tmp_path / "file" / "queue")


async def test_a_directory_that_cannot_be_written_is_refused():
    with pytest.raises(StoreError):
        await open_queue(Path("/proc/actorq"))
    with pytest.raises(StoreError):
        await open_queue(Path("/proc"))


async def test_a_snapshot_of_a_newer_format_is_refused_and_left_alone(tmp_path: Path):
    async with JobQueue(tmp_path, durability="snapshot") as queue:
        await queue.task(echo).run(1)
    (path,) = [path for path in sorted(tmp_path.iterdir()) if path.name.startswith("snap")]  # noqa: ASYNC240 - a test may wait
    header, rest = path.read_bytes().split(b"\n", 1)
    fields = unframe(header, HEADER_SEED)
    newer = frame(orjson.dumps({**fields, "v": 99}), HEADER_SEED) + rest
    path.write_bytes(newer)
    with pytest.raises(StoreTooNew, match="upgrade actorq"):
        await open_queue(tmp_path)
    assert path.read_bytes() == newer


# -- opening ---------------------------------------------------------------------------------------


async def test_jobs_go_on_after_all_of_this():
    async def call(fn: Callable[[], Awaitable[Any]]) -> Any:
        return await fn()

    async with JobQueue(workers=1) as queue:
        handle = await queue.submit(call, echo)
        assert await handle.wait() is JobState.SUCCEEDED
