"""Tags and queries: an admin page over a few hundred jobs, filtered and in pages, while the queue works on."""

from datetime import UTC, datetime, timedelta

import anyio

from actorq import Filter, JobQueue, JobRecord, Retry

queue = JobQueue(workers=4)

CITIES = ("Rome", "Oslo", "Lima")


@queue.task(tags=["report"], retry=Retry(max_attempts=1))
async def report(city: str, pages: int) -> int:
    await anyio.sleep(0.001)
    if pages % 10 == 7:
        raise ValueError(f"{city} has no page {pages}")
    return pages


@queue.task(tags=["cleaning"])
async def clean() -> None: ...


async def show(title: str, where: Filter) -> list[JobRecord]:
    """Show what a filter means, in pages of 20, the newest first."""
    found: list[JobRecord] = []
    cursor = None
    while True:
        page = await queue.find(where, limit=20, order="newest", cursor=cursor)
        found += page
        cursor = page.cursor
        if cursor is None:
            break
    print(f"{title}: {len(found)}, such as {', '.join(record.id[-4:] for record in found[:3])}")
    assert len(found) == len({record.id for record in found})
    return found


async def main() -> None:
    begun = datetime.now(UTC)
    async with queue:
        for n in range(300):
            city = CITIES[n % 3]
            await report.using(tags={"report": "", "city": city}, priority=n % 5).submit(city, n)
        await clean.using(delay=timedelta(hours=1), tags={"city": "Rome"}).submit()

        # While jobs run, a job may stand in one state on this page and in another on the next; none is shown twice.
        await show("not yet done", Filter(state=["queued", "running"]))
        await queue.cancel(Filter(task=clean))
        await queue.join()

        assert await queue.count(Filter(task=report)) == 300
        assert await queue.count(Filter(task=[report, clean], tags={"city": "Rome"})) == 101
        assert len(await show("Rome", Filter(state="succeeded", tags={"city": "Rome"}))) == 90
        assert len(await show("missing pages", Filter(tags={"city": "Rome"}, state="failed", error="no page"))) == 10
        assert len(await show("no reports", Filter(tags=["report"], tags_mode="none"))) == 1
        assert len(await show("urgent", Filter(task=report, min_priority=4, ended_after=begun))) == 60
        assert len(await show("long", Filter(task=report, where=lambda record: record.args[1] >= 290))) == 10


anyio.run(main)
