"""A crawler that is polite to each host, and idle for none of them."""

from collections import Counter

import anyio

from actorq import JobQueue

queue = JobQueue(workers=20, defaults={"timeout": 60})
queue.group("slow.example", limit=1, priority=5)
queue.group("fast.example", limit=4)
now: Counter[str] = Counter()
most: Counter[str] = Counter()


@queue.task
async def fetch(host: str, page: int) -> str:
    now[host] += 1
    most[host] = max(most[host], now[host])
    await anyio.sleep(0.01)
    now[host] -= 1
    return f"https://{host}/{page}"


async def main() -> None:
    async with queue:
        for host in ("slow.example", "fast.example", "any.example"):
            polite = fetch.using(group=host)
            await polite.submit_many([polite.build(host, page) for page in range(12)])
        waiting = await fetch.using(group="slow.example").submit("slow.example", 12)
        print(queue.explain(waiting.id))
        await queue.join()
        print(dict(most))
        assert most["slow.example"] == 1
        assert most["fast.example"] == 4

        record = await waiting.record()
        print(record.priority, record.options.timeout)  # from the group, and from the queue


anyio.run(main)
