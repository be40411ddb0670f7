"""Jobs that failed for good: kept apart, handed to a task, tried again; and how long what has ended is kept."""

from typing import Any

import anyio
import pytest

from actorq import DeadLetter, Filter, InvalidOption, JobContext, JobQueue, JobState, Retention, Retry
from actorq.config import PAYLOAD_LIMIT, TEXT_LIMIT
from actorq.testing import MemoryFiles

ONCE = Retry(max_attempts=1)


def failing(queue: JobQueue, **options: Any) -> Any:
    async def mail(to: str, *, subject: str = "") -> None:
        raise ConnectionError(f"no route to {to} with {subject}")

    return queue.task(name="mail", retry=ONCE, **options)(mail)


def undertaker(queue: JobQueue, letters: list[Any], **options: Any) -> Any:
    async def bury(letter: DeadLetter) -> str:
        letters.append(letter)
        return letter.job.id

    return queue.task(name="bury", **options)(bury)


async def test_the_task_is_handed_the_job_its_arguments_and_its_failure() -> None:
    letters: list[DeadLetter] = []
    async with JobQueue() as queue:
        bury = undertaker(queue, letters)
        mail = failing(queue, dead_letter=bury).using(tags={"for": "ada"}, key="k", group="red")
        handle = await mail.submit("ada", subject="hello")
        assert await handle.wait() is JobState.DEAD_LETTER
        await queue.join()
    (letter,) = letters
    assert (letter.job.id, letter.job.task, letter.job.key, letter.job.group) == (handle.id, "mail", "k", "red")
    assert (letter.job.tags, letter.job.attempt, letter.job.max_attempts) == ({"for": "ada"}, 1, 1)
    assert (letter.args, letter.kwargs) == (["ada"], {"subject": "hello"})
    assert (letter.failure.reason, letter.failure.type) == ("error", "ConnectionError")
    assert letter.failure.message == "no route to ada with hello"
    assert "in mail" in letter.failure.traceback


async def test_a_function_without_an_annotation_gets_a_dictionary() -> None:
    letters = []

    async def bury(letter) -> None:  # type: ignore[no-untyped-def]
        letters.append(letter)

    async with JobQueue() as queue:
        await (await failing(queue, dead_letter=queue.task(name="bury")(bury)).submit("ada")).wait()
        await queue.join()
    assert letters[0]["payload"] == [["ada"], {}]
    assert set(letters[0]) == {"job", "payload", "failure"}


async def test_dead_job_and_dead_letter_job_are_linked_both_ways_over_a_restart() -> None:
    files = MemoryFiles()
    async with JobQueue(files=files) as queue:
        undertaker(queue, [])
        handle = await failing(queue, dead_letter="bury").submit("ada")
        await queue.join()
    async with JobQueue(files=files) as queue:
        dead = await queue.handle(handle.id).record()
        assert dead.dead_letter_job_id is not None
        letter = await queue.handle(dead.dead_letter_job_id).record()
        assert (letter.task, letter.dead_letter_of, letter.state) == ("bury", dead.id, JobState.SUCCEEDED)
        assert await queue.handle(letter.id) == dead.id


async def test_the_dead_letter_job_has_the_options_of_its_own_task() -> None:
    async with JobQueue() as queue:
        undertaker(queue, [], priority=9, tags=["letter"], timeout=4)
        handle = await failing(queue, dead_letter="bury", priority=1).submit("ada")
        await queue.join()
        dead = await handle.record()
        letter = await queue.handle(dead.dead_letter_job_id or "").record()
        assert (letter.priority, dict(letter.tags), letter.options.timeout) == (9, {"letter": ""}, 4.0)


async def test_a_dead_letter_job_that_fails_is_not_buried_again() -> None:
    async with JobQueue() as queue:

        @queue.task(name="bury", retry=ONCE, dead_letter="bury")
        async def bury(letter: DeadLetter) -> None:
            raise ValueError(letter.job.id)

        await failing(queue, dead_letter=bury).submit("ada")
        await queue.join()
        assert (await queue.stats()).counts[JobState.DEAD_LETTER] == 2
        assert (await queue.stats()).submitted == 2


async def test_a_dead_letter_for_a_task_that_is_not_there_waits_for_it() -> None:
    letters: list[DeadLetter] = []
    async with JobQueue() as queue:
        handle = await failing(queue, dead_letter="bury").submit("ada")
        assert await handle.wait() is JobState.DEAD_LETTER
        assert (await queue.stats()).parked == 1
        undertaker(queue, letters)
        await queue.join()
    assert [letter.job.id for letter in letters] == [handle.id]


async def test_a_message_that_no_file_can_hold_is_handed_on_spelled_out() -> None:
    letters: list[DeadLetter] = []

    async def mail() -> None:
        raise OSError("bad\udcffname")

    async with JobQueue() as queue:
        undertaker(queue, letters)
        await queue.task(name="mail", retry=ONCE, dead_letter="bury")(mail).submit()
        await queue.join()
    assert letters[0].failure.message == "bad\\udcffname"


@pytest.mark.parametrize("name", ["", "x" * 1_000, 3, None])
def test_what_names_no_task_is_refused(name: Any) -> None:
    with pytest.raises(InvalidOption, match="dead_letter"):
        failing(JobQueue(), dead_letter=name)


async def test_the_letter_of_a_large_job_is_stored_whole() -> None:
    files = MemoryFiles()
    letters: list[DeadLetter] = []
    large = "\u20ac" * (PAYLOAD_LIMIT // 3 - 100)
    async with JobQueue(files=files) as queue:

        @queue.task(name="mail", retry=ONCE, dead_letter="bury")
        async def mail(to: str) -> None:
            raise ValueError("\x00" * 100_000 + to)

        await mail.submit(large)
        await queue.join()
        left = files.copy()
    async with JobQueue(files=left) as queue:
        undertaker(queue, letters)
        await queue.join()
    assert letters[0].args == [large]
    assert letters[0].failure.message == "\x00" * TEXT_LIMIT


async def test_no_crash_comes_between_a_dead_job_and_its_letter() -> None:
    files = MemoryFiles()
    letters: list[DeadLetter] = []
    async with JobQueue(files=files) as queue:
        handle = await failing(queue, dead_letter="bury").submit("ada")
        await handle.wait()
        left = files.copy()
    async with JobQueue(files=left) as queue:
        failing(queue, dead_letter="bury")
        undertaker(queue, letters)
        await queue.join()
    assert [letter.job.id for letter in letters] == [handle.id]


async def test_a_job_that_dies_again_has_another_letter() -> None:
    letters: list[DeadLetter] = []
    async with JobQueue() as queue:
        undertaker(queue, letters)
        handle = await failing(queue, dead_letter="bury").submit("ada")
        await queue.join()
        first = (await handle.record()).dead_letter_job_id
        await queue.rerun(handle.id)
        await queue.join()
        second = (await handle.record()).dead_letter_job_id
        assert first != second
        assert [letter.job.id for letter in letters] == [handle.id] * 2
        for job_id in (first, second):
            assert (await queue.handle(job_id or "").record()).dead_letter_of == handle.id


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "thread"])
async def test_a_dead_letter_task_may_have_a_context(*, is_async: bool) -> None:
    letters: list[tuple[str, str]] = []

    async def bury(job: JobContext, letter: DeadLetter) -> None:
        letters.append((job.task, letter.job.task))

    def bury_in_a_thread(job: JobContext, letter: DeadLetter) -> None:
        letters.append((job.task, letter.job.task))

    async with JobQueue() as queue:
        undertaking = queue.task(name="bury", context=True)
        task = undertaking(bury) if is_async else undertaking(bury_in_a_thread)
        await failing(queue, dead_letter=task).submit("ada")
        await queue.join()
    assert letters == [("bury", "mail")]


@pytest.mark.parametrize("limit", ["deadline", "expires"])
async def test_a_job_whose_time_is_over_before_it_ran_is_buried_too(limit: str) -> None:
    letters: list[DeadLetter] = []
    async with JobQueue() as queue:
        undertaker(queue, letters)
        handle = await failing(queue, dead_letter="bury").using(delay=9, **{limit: 5}).submit("ada")
        assert await handle.wait() is JobState.DEAD_LETTER
        await queue.join()
    reason = {"deadline": "deadline", "expires": "expired"}[limit]
    assert (letters[0].failure.reason, letters[0].job.attempt) == (reason, 0)


async def test_a_job_that_is_cancelled_is_not_dead() -> None:
    letters: list[DeadLetter] = []
    async with JobQueue() as queue:
        undertaker(queue, letters)
        handle = await failing(queue, dead_letter="bury").using(delay=9).submit("ada")
        await handle.cancel()
        await queue.join()
    assert letters == []


async def test_a_redrive_runs_the_dead_again() -> None:
    healed = anyio.Event()

    async def mail() -> str:
        if not healed.is_set():
            raise ConnectionError
        return "sent"

    async with JobQueue() as queue:
        task = queue.task(name="mail", retry=ONCE, dead_letter=True)(mail)
        handles = [await task.submit() for _ in range(5)]
        await queue.join()
        healed.set()
        outcome = await queue.rerun(Filter(state="dead_letter", task=task), per_second=10)
        assert outcome.touched == 5
        assert [await handle for handle in handles] == ["sent"] * 5


# -- how long what has ended is kept --------------------------------------------------------------------


async def test_each_final_state_has_a_retention_of_its_own() -> None:
    retention = Retention(count=2, failed=Retention(count=4), dead_letter=Retention(count=1))
    async with JobQueue(retention=retention) as queue:

        @queue.task(name="job", retry=ONCE)
        async def job(how: str) -> None:
            if how == "fail":
                raise ValueError

        for how in ("ok", "fail"):
            for _ in range(6):
                await (await job.submit(how)).wait()
        for _ in range(6):
            await (await job.using(dead_letter=True).submit("fail")).wait()
            await (await job.using(delay=9).submit("ok")).cancel()
        counts = (await queue.stats()).counts
        kept = [counts[state] for state in (JobState.SUCCEEDED, JobState.FAILED, JobState.DEAD_LETTER)]
        assert kept == [2, 4, 1]
        assert counts[JobState.CANCELLED] == 2


async def test_failures_may_be_kept_for_longer_than_results() -> None:
    async with JobQueue(retention=Retention(age_s=10, failed=Retention(age_s=1_000))) as queue:
        undertaker(queue, [])
        failed = await failing(queue).submit("ada")
        done = await queue.submit(anyio.sleep, 0)
        await queue.join()
        await anyio.sleep(100)
        assert await queue.get(done.id) is None
        assert await queue.get(failed.id) is not None
        await anyio.sleep(2_000)
        assert await queue.get(failed.id) is None


async def test_a_job_that_somebody_awaits_is_heard_of_before_it_goes() -> None:
    async with JobQueue(retention=Retention(count=0)) as queue:

        @queue.task(name="job")
        async def job() -> int:
            await anyio.sleep(1)
            return 7

        handle = await job.submit()
        assert await handle == 7
        assert await queue.get(handle.id) is None


@pytest.mark.parametrize("wrong", [3, "week", {"age_s": 3}])
def test_a_retention_of_a_state_that_is_none_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidOption, match="wants a Retention"):
        Retention(failed=wrong)
