"""A web server with jobs behind it: Starlette on uvicorn, in one process.

``POST /reports`` submits a job and answers with its result. ``POST /reports?wait=no`` answers 202 at once, with the
URL to ask. The script serves itself on a free port of the loopback, asks both ways with httpx, and ends.
"""

import socket
from contextlib import asynccontextmanager

import anyio
import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from actorq import JobQueue

queue = JobQueue()


@queue.task
async def write_report(title: str) -> dict[str, str]:
    await anyio.sleep(0.1)  # some work
    return {"title": title, "text": "All is well."}


async def create(request: Request) -> Response:
    job = await write_report.submit(request.query_params["title"])
    if request.query_params.get("wait") == "no":
        return JSONResponse({"id": job.id}, 202, {"Location": str(request.url_for("show", id=job.id))})
    return JSONResponse(await job)


async def show(request: Request) -> Response:
    record = await queue.get(request.path_params["id"])
    if record is None:
        return JSONResponse({"error": "no such report, or not any more"}, 404)
    return JSONResponse({"state": record.state, "report": record.result})


app = Starlette(
    routes=[Route("/reports", create, methods=["POST"]), Route("/reports/{id}", show)],
    lifespan=queue.lifespan,  # opened before the first request, closed after the last
)


async def main() -> None:
    async with serving(app) as url, httpx.AsyncClient(base_url=url) as client:
        answer = await client.post("/reports", params={"title": "Monday"})
        print(answer.status_code, answer.json())
        assert answer.json() == {"title": "Monday", "text": "All is well."}

        answer = await client.post("/reports", params={"title": "Tuesday", "wait": "no"})
        assert answer.status_code == 202
        while True:
            report = (await client.get(answer.headers["Location"])).json()
            print(answer.status_code, report)
            if report["state"] == "succeeded":
                break
            await anyio.sleep(0.05)
        assert report["report"]["title"] == "Tuesday"


@asynccontextmanager
async def serving(app: Starlette):
    """Serve the application on a free port while the block runs; yield its URL."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with anyio.create_task_group() as group:
            group.start_soon(server.serve, [listener])
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            server.should_exit = True


anyio.run(main)
