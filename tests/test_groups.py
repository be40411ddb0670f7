"""Groups of jobs: so many at a time, options of their own; and whose word counts."""

from typing import Any

import anyio
import pytest

from actorq import InvalidOption, JobQueue, JobState, Retry, current_job
from actorq.testing import MemoryFiles


class Crowd:
    """Counts how many jobs of each group run."""

    def __init__(self, queue: JobQueue) -> None:
        self.now: dict[str, int] = {}
        self.most: dict[str, int] = {}
        self.queue = queue
        self.task = queue.task(name="visit")(self.visit)

    async def visit(self, group: str) -> None:
        self.now[group] = self.now.get(group, 0) + 1
        self.most[group] = max(self.most.get(group, 0), self.now[group])
        await anyio.sleep(1)
        self.now[group] -= 1


async def test_no_more_jobs_of_a_group_run_than_its_limit_and_others_go_on() -> None:
    queue = JobQueue(workers=10)
    crowd = Crowd(queue)
    queue.group("red", limit=1)
    queue.group("blue", limit=3)
    async with queue:
        for _ in range(20):
            for group in ("red", "blue", "free"):
                await crowd.task.using(group=group).submit(group)
        await queue.join()
    assert crowd.most["red"] == 1
    assert crowd.most["blue"] == 3
    assert crowd.most["free"] >= 6


async def test_a_limit_can_be_changed_while_jobs_run() -> None:
    queue = JobQueue(workers=10)
    crowd = Crowd(queue)
    queue.group("red", limit=4)
    async with queue:
        for _ in range(30):
            await crowd.task.using(group="red").submit("red")
        await anyio.sleep(0.5)
        assert crowd.now["red"] == 4
        queue.group("red", limit=2)
        await anyio.sleep(1)
        assert crowd.now["red"] == 2
        queue.group("red")
        await anyio.sleep(0.1)
        assert crowd.now["red"] == 10
        await queue.join()


async def test_a_limit_that_is_declared_before_the_start_holds_for_stored_jobs() -> None:
    files = MemoryFiles()
    async with JobQueue(files=files) as queue:
        crowd = Crowd(queue)
        for _ in range(5):
            await crowd.task.using(group="red", delay=1).submit("red")
    queue = JobQueue(files=files)
    crowd = Crowd(queue)
    queue.group("red", limit=2)
    async with queue:
        await queue.join()
    assert crowd.most["red"] == 2


@pytest.mark.parametrize("limit", [0, -1, True, 1.5, "2"])
def test_a_limit_that_is_none_is_refused(limit: Any) -> None:
    with pytest.raises(InvalidOption, match="limit"):
        JobQueue().group("red", limit=limit)


def test_a_group_needs_a_name_and_options_that_are_right() -> None:
    queue = JobQueue()
    for name in ("", "x" * 1_000, 3):
        with pytest.raises(InvalidOption):
            queue.group(name)  # type: ignore[arg-type]
    with pytest.raises(InvalidOption, match="timeout"):
        queue.group("red", timeout=-1)
    with pytest.raises(TypeError, match="colour"):
        queue.group("red", colour="red")  # type: ignore[call-arg]
    with pytest.raises(InvalidOption, match="no option of a group"):
        queue.group("red", group="blue")


# -- whose word counts --------------------------------------------------------------------------------


VALUES: dict[str, tuple[Any, Any, Any, Any]] = {
    "priority": (1, 2, 3, 4),
    "timeout": (1.0, 2.0, 3.0, 4.0),
    "heartbeat_timeout": (1.0, 2.0, 3.0, 4.0),
    "expires": (1.0, 2.0, 3.0, 4.0),
    "deadline": (1.0, 2.0, 3.0, 4.0),
    "grace": (1.0, 2.0, 3.0, 4.0),
    "retry": tuple(Retry(max_attempts=n) for n in range(1, 5)),  # type: ignore[dict-item]
    "tags": ({"a": "1"}, {"a": "2"}, {"a": "3"}, {"a": "4"}),
    "dead_letter": (True, "bury", "other", "third"),
}
LEVELS = ("queue", "group", "task", "call")


@pytest.mark.parametrize("said_by", [LEVELS[i:j] for i in range(4) for j in range(i + 1, 5)], ids="-".join)
@pytest.mark.parametrize("option", VALUES)
async def test_the_call_goes_before_the_task_before_the_group_before_the_queue(
    option: str, said_by: tuple[str, ...]
) -> None:
    value = dict(zip(LEVELS, VALUES[option], strict=True))

    def given(level: str) -> dict[str, Any]:
        return {option: value[level]} if level in said_by else {}

    async with JobQueue(defaults=given("queue"), drain_timeout=0) as queue:  # type: ignore[arg-type]
        queue.group("red", **given("group"))

        @queue.task(name="task", **given("task"))
        async def task() -> None:
            await anyio.sleep(1)

        handle = await task.using(group="red", delay=10, **given("call")).submit()
        options = (await handle.record()).options
        assert getattr(options, option) == value[said_by[-1]]


async def test_a_group_that_is_declared_after_the_task_counts_from_then_on() -> None:
    async with JobQueue() as queue:
        crowd = Crowd(queue)
        red = crowd.task.using(group="red", delay=5)
        before = await red.submit("red")
        queue.group("red", priority=7)
        after = await red.submit("red")
        assert [(await handle.record()).priority for handle in (before, after)] == [0, 7]


async def test_the_queue_may_give_all_jobs_a_group() -> None:
    async with JobQueue(defaults={"group": "red"}) as queue:
        queue.group("red", priority=3)
        crowd = Crowd(queue)
        record = await (await crowd.task.using(delay=5).submit("red")).record()
        assert (record.group, record.priority) == ("red", 3)


async def test_a_call_may_take_its_job_out_of_the_group_and_of_what_that_says() -> None:
    async with JobQueue(defaults={"group": "red", "timeout": 9}) as queue:
        queue.group("red", priority=3, timeout=5)
        crowd = Crowd(queue)
        record = await (await crowd.task.using(delay=5, group=None).submit("none")).record()
        assert (record.group, record.priority, record.options.timeout) == (None, 0, 9.0)


async def test_a_group_that_is_declared_anew_counts_for_dead_letter_jobs_too() -> None:
    async with JobQueue(workers=1) as queue:

        @queue.task(name="bury", group="red")
        async def bury(letter: dict[str, Any]) -> None:
            assert letter

        @queue.task(name="fail", retry=Retry(max_attempts=1), dead_letter=bury)
        async def fail() -> None:
            raise ValueError

        for priority in (3, 4):
            queue.group("red", priority=priority)
            handle = await fail.submit()
            await queue.join()
            letter = await queue.get((await handle.record()).dead_letter_job_id or "")
            assert letter is not None
            assert (letter.group, letter.priority) == ("red", priority)


async def test_the_limit_of_a_group_outlives_a_crash_if_it_is_declared_and_its_pause_in_any_case() -> None:
    files = MemoryFiles()
    async with JobQueue(files=files, drain_timeout=0) as queue:
        crowd = Crowd(queue)
        for _ in range(4):
            await crowd.task.using(group="red", delay=1).submit("red")
        await queue.pause_group("red")
        left = files.copy()
    queue = JobQueue(files=left)
    crowd = Crowd(queue)
    queue.group("red", limit=1)
    async with queue:
        await anyio.sleep(10)
        assert crowd.most == {}
        await queue.resume_group("red")
        await queue.join()
    assert crowd.most == {"red": 1}


def test_wrong_defaults_of_a_queue_are_refused() -> None:
    with pytest.raises(InvalidOption, match="timeout"):
        JobQueue(defaults={"timeout": -1})
    with pytest.raises(TypeError, match="delay"):
        JobQueue(defaults={"delay": 1})  # type: ignore[typeddict-unknown-key]


async def test_a_job_knows_its_tags_whatever_gave_them() -> None:
    async with JobQueue(defaults={"tags": ["all"]}) as queue:

        @queue.task(name="tags")
        async def tags() -> list[str]:
            return list(current_job().tags)

        handle = await tags.submit()
        assert await handle == ["all"]
        assert await handle.wait() is JobState.SUCCEEDED
