"""FastAPI: the queue lives as long as the application, and waits in the request's state."""

import anyio
import httpx
from fastapi import FastAPI, HTTPException, Request

from actorq import JobFailed, JobQueue, Retry

queue = JobQueue()
app = FastAPI(lifespan=queue.lifespan)


@queue.task(retry=Retry(max_attempts=1))
def divide(a: int, b: int) -> float:
    return a / b


@app.get("/divide")
async def get_quotient(a: int, b: int) -> float:
    try:
        return await divide.run(a, b)  # submit and wait, in one
    except JobFailed as error:
        raise HTTPException(422, f"{error.type}: {error.message}") from error


@app.get("/counts")
async def get_counts(request: Request) -> dict[str, int]:
    stats = await request.state.queue.stats()
    return {state: count for state, count in stats.counts.items() if count}


async def main() -> None:
    async with app.router.lifespan_context(app) as state:
        # uvicorn gives the lifespan's state to each request; here the script does
        async def server(scope, receive, send):
            await app(scope | {"state": dict(state)}, receive, send)

        async with httpx.AsyncClient(transport=httpx.ASGITransport(server), base_url="http://here") as client:
            for path in ("/divide?a=3&b=4", "/divide?a=3&b=0", "/counts"):
                answer = await client.get(path)
                print(answer.status_code, path, answer.json())
            assert answer.json() == {"succeeded": 1, "failed": 1}


anyio.run(main)
