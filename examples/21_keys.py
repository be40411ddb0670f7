"""The same work asked for again: once, the newest, or not at all; and over a restart."""

import tempfile

import anyio

from actorq import DuplicateJob, JobCancelled, JobQueue


def make(path: str) -> JobQueue:
    queue = JobQueue(path)

    @queue.task(name="charge")
    async def charge(order: int, cents: int) -> str:
        await anyio.sleep(0.05)
        return f"order {order}: {cents} cents"

    queue.charge = charge  # type: ignore[attr-defined]
    return queue


async def main(path: str) -> None:
    async with make(path) as queue:
        once = queue.charge.using(key="order-7")  # type: ignore[attr-defined]
        first, second = await once.submit(7, 100), await once.submit(7, 100)
        assert first.id == second.id
        print(await second)

    async with make(path) as queue:  # another process, later
        once = queue.charge.using(key="order-7")  # type: ignore[attr-defined]
        again = await once.submit(7, 100)
        assert again.id == first.id
        print("again:", await again)
        try:
            await once.using(on_conflict="strict_body").submit(7, 999)
        except DuplicateJob as error:
            print(error)

        latest = queue.charge.using(key="order-8", on_conflict="keep_last")  # type: ignore[attr-defined]
        jobs = [await latest.submit(8, cents) for cents in (100, 200, 300)]
        for job in jobs:
            try:
                print(await job)
            except JobCancelled as error:
                print(error.reason, error.message)


with tempfile.TemporaryDirectory() as folder:
    anyio.run(main, folder)
