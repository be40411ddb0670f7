"""What the five views have in common: documents are plain JSON, and options are those of a call."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import orjson
import pytest

from actorq import JobQueue, views
from actorq.core import commands as c
from actorq.core.retry import Retry
from actorq.task import CallOptions
from actorq.views import dataqueue, flare, iron, pipeshub, rethinkdb

from .life import submitted, waiting


async def mail() -> None: ...


VIEWS = [iron, pipeshub, rethinkdb, dataqueue, flare]

WHOLE: dict[Callable[..., dict[str, Any]], dict[str, Any]] = {
    iron.options: {"priority": 1, "delay": 5},
    pipeshub.options: {"scheduleConfig": {"scheduleType": "once", "scheduledTime": "2090-01-01T00:00:00Z"}},
    pipeshub.bullmq_options: {"jobId": "work", "delay": 5},
    rethinkdb.options: {"name": "letter", "dateEnable": "2090-01-01T00:00:00Z"},
    dataqueue.options: {"idempotencyKey": "k", "group": {"id": "red"}, "deadLetterJobType": "morgue", "tags": ["a"]},
    flare.options: {"idempotency_key": "k", "queue": "email", "run_at": "2090-01-01T00:00:00Z"},
}


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.__name__)
def test_a_view_has_the_same_functions_as_the_others(view: ModuleType):
    assert {"options", "parse_state", "retry", "state", "status"} <= set(view.__all__)
    assert getattr(views, view.__name__.rpartition(".")[2]) is view


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.__name__)
@pytest.mark.parametrize("payload", [b"[[],{}]", b'[["a",null],{"b":[1.5]}]'], ids=["nothing", "much"])
def test_a_document_is_plain_json(view: ModuleType, payload: bytes):
    life = submitted(payload=payload, options={"tags": {"a": "b"}, "timeout": 5.0}).do(
        c.Log("j1", 1, "info", "m", b"1")
    )
    for step in (life, life.fail(), life.rest(10.0), life.finish(b'{"n":[1]}'), waiting()):
        document = view.status(step.record)
        assert orjson.loads(orjson.dumps(document)) == document


@pytest.mark.parametrize(("options", "given"), WHOLE.items(), ids=lambda value: getattr(value, "__module__", None))
def test_options_are_those_of_a_call(options: Callable[..., dict[str, Any]], given: dict[str, Any]):
    known = options(given)
    assert set(known) <= set(CallOptions.__annotations__)
    assert isinstance(known["retry"], Retry)
    JobQueue().task(mail).using(**known).build()


@pytest.mark.parametrize(("options", "given"), WHOLE.items(), ids=lambda value: getattr(value, "__module__", None))
def test_an_option_of_null_is_as_good_as_none(options: Callable[..., dict[str, Any]], given: dict[str, Any]):
    base = {"priority": 0} if options is iron.options else {}
    assert options({**dict.fromkeys(given), **base}) == options(base)
