"""One application, for each kind of server: jobs are submitted, and what has become of all of them is asked.

``POST /jobs?task=obey&seconds=1`` answers 202 and the job's id; ``GET /rest`` waits until all jobs have ended, and
answers with the state, attempts, interruptions and claim of each; ``GET /pid`` names the process.
"""

import os
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiohttp import web
from behaviour import declare
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from actorq import JobQueue


class Jobs:
    """What the applications do."""

    def __init__(self, queue: JobQueue) -> None:
        self.queue = queue
        self.tasks = declare(queue)

    async def submit(self, query: Mapping[str, str]) -> str:
        job = await self.tasks[query["task"]].submit(float(query["seconds"]))
        return str(job.id)

    async def rest(self) -> dict[str, Any]:
        await self.queue.join()
        page = await self.queue.find(limit=1_000)
        return {job.id: [job.state, job.attempt, job.interruptions, job.claim] for job in page.jobs}


def asgi(jobs: Jobs) -> Starlette:
    async def submit(request: Request) -> Response:
        return JSONResponse(await jobs.submit(request.query_params), 202)

    async def rest(request: Request) -> Response:
        return JSONResponse(await jobs.rest())

    async def pid(request: Request) -> Response:
        return JSONResponse(os.getpid())

    routes = [Route("/jobs", submit, methods=["POST"]), Route("/rest", rest), Route("/pid", pid)]
    return Starlette(routes=routes, lifespan=jobs.queue.lifespan)


def aiohttp(jobs: Jobs) -> web.Application:
    async def submit(request: web.Request) -> web.Response:
        return web.json_response(await jobs.submit(request.query), status=202)

    async def rest(request: web.Request) -> web.Response:
        return web.json_response(await jobs.rest())

    async def open_queue(app: web.Application) -> AsyncIterator[None]:
        async with jobs.queue:
            yield

    app = web.Application()
    app.add_routes([web.post("/jobs", submit), web.get("/rest", rest)])
    app.cleanup_ctx.append(open_queue)
    return app
