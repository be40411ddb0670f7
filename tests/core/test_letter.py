"""A job that is made of each one that fails, for jobs that name a task for it: ``dead_letter="task"``."""

import json
from typing import Any

import orjson
import pytest

from actorq.core import commands as c
from actorq.core.job import Failure, Job, JobOptions, JobState, Reason
from actorq.core.letter import dead_letter_of
from actorq.errors import InvalidOption

from .house import NO_JITTER, House, names


def dead(**options: Any) -> House:
    """Return a house in which job ``a`` has died."""
    house = House()
    house.submit("a", **{"dead_letter": "mail"} | options)
    house.fail(retryable=False)
    return house


def letter_of(house: House, job_id: str = "a") -> Job:
    linked = house.job(job_id).dead_letter_job_id
    assert linked is not None
    return house.job(linked)


def test_the_letter_is_made_in_the_step_of_the_death() -> None:
    assert names(dead().last) == ["DeadLettered", "Submitted", "Started", "Dispatch"]


def test_dead_job_and_letter_name_each_other_also_after_a_crash() -> None:
    house = dead()
    house.crash()
    assert letter_of(house).dead_letter_of == "a"
    assert house.states() == {"a": "dead_letter", "a-d2": "running"}


def test_a_job_that_is_kept_apart_only_makes_no_letter() -> None:
    house = dead(dead_letter=True)
    assert house.states() == {"a": "dead_letter"}
    assert house.job().dead_letter_job_id is None


def test_the_letter_says_what_was_asked_and_what_went_wrong() -> None:
    house = House()
    options = JobOptions(retry=NO_JITTER, dead_letter="mail", group="red", tags={"for": "ada"})
    house.ask(c.Submit((c.NewJob("a", "mail", b'[["x"],{"n":1}]', options, key="k"),)))
    house.ask(c.Fail("a", 1, Failure(Reason.ERROR, "OSError", "no é", "Traceback …"), retryable=False), after=2.0)
    assert json.loads(letter_of(house).payload) == [
        [
            {
                "job": {
                    "id": "a", "task": "mail", "key": "k", "group": "red", "tags": {"for": "ada"},
                    "attempt": 1, "max_attempts": 3, "submitted_at": 100.0,
                },
                "payload": [["x"], {"n": 1}],
                "failure": {
                    "reason": "error", "type": "OSError", "message": "no é", "traceback": "Traceback …",
                    "attempt": 0, "at": 0.0,
                },
            }
        ],
        {},
    ]  # fmt: skip


def test_arguments_go_into_the_letter_to_the_byte() -> None:
    payload = b'[[1.10, "\\u00e9"],  {}]'
    job = Job("a", 1, "mail", payload, JobOptions(), JobState.FAILED, 0.0, 0.0)
    job.failure = Failure(Reason.ERROR, "OSError")
    assert payload in dead_letter_of(job)


def test_half_a_character_does_not_break_the_letter() -> None:
    house = House()
    house.submit("a", dead_letter="mail")
    house.ask(c.Fail("a", 1, Failure(Reason.ERROR, "OSError", "caf\udce9 \0 é"), retryable=False))
    letter = orjson.loads(letter_of(house).payload)[0][0]  # which is strict, as the journal is
    assert letter["failure"]["message"] == r"caf\udce9" + " \0 é"


def test_the_letter_has_the_options_of_its_own_task_and_no_key() -> None:
    house = House()
    house.ask(c.Register(("bury",), {"bury": JobOptions(priority=7, timeout=9.0)}))
    house.submit("a", dead_letter="bury", priority=2, group="red")
    house.fail(retryable=False)
    letter = letter_of(house)
    assert (letter.task, letter.key, letter.ephemeral) == ("bury", None, False)
    assert letter.options == JobOptions(priority=7, timeout=9.0)


def test_the_failure_of_a_letter_makes_no_other() -> None:
    house = House()
    house.ask(c.Register(("bury",), {"bury": JobOptions(dead_letter="bury")}))
    house.submit("a", dead_letter="bury")
    house.fail(retryable=False)
    letter = letter_of(house)
    house.fail(letter.id, retryable=False)
    assert names(house.last) == ["DeadLettered"]
    assert house.states() == {"a": "dead_letter", letter.id: "dead_letter"}


def test_a_letter_to_a_task_that_nobody_has_waits_for_one() -> None:
    house = dead(dead_letter="nobody")
    assert letter_of(house).state is JobState.SCHEDULED
    house.ask(c.Register(("nobody",)))
    assert letter_of(house).state is JobState.RUNNING


def test_a_letter_needs_no_room_for_it_takes_the_place_of_the_dead() -> None:
    house = House(max_pending=1)
    house.submit("a", dead_letter="mail")
    house.fail(retryable=False)
    assert house.machine.ledger.live == 1


def test_a_job_that_dies_again_makes_another_letter() -> None:
    house = dead()
    first = letter_of(house)
    house.finish(first.id)
    house.ask(c.Rerun("a"))
    house.fail(retryable=False)
    assert letter_of(house).id != first.id
    assert (letter_of(house).dead_letter_of, first.dead_letter_of) == ("a", "a")


@pytest.mark.parametrize("limit", ["expires", "deadline"])
def test_a_limit_that_ends_a_waiting_job_makes_a_letter(limit: str) -> None:
    house = House()
    house.submit("a", delay=60.0, dead_letter="mail", **{limit: 5.0})
    house.wake()
    assert json.loads(letter_of(house).payload)[0][0]["failure"]["attempt"] == 0


def test_a_letter_of_a_draining_queue_waits_for_the_next_start() -> None:
    house = House()
    house.submit("a", dead_letter="mail")
    house.ask(c.Drain())
    house.fail(retryable=False)
    assert letter_of(house).state is JobState.QUEUED
    house.crash()
    assert letter_of(house).state is JobState.RUNNING


def test_no_letter_is_made_of_a_job_that_is_not_stored() -> None:
    house = House()
    options = JobOptions(dead_letter="mail")
    house.ask(c.Submit((c.NewJob("a", "fn", b"", options, ephemeral=True),)))
    house.fail(retryable=False)
    assert names(house.last) == ["DeadLettered"]


@pytest.mark.parametrize("end", ["finish", "quit"])
def test_no_letter_is_made_of_what_did_not_fail(end: str) -> None:
    house = House()
    house.submit("a", dead_letter="mail")
    house.report(end)
    assert house.job().dead_letter_job_id is None
    assert len(house.states()) == 1


def test_half_a_character_is_no_name() -> None:
    for options in ({"tags": ["\udcff"]}, {"group": "\udcff"}, {"dead_letter": "\udcff"}, {"tags": {"a": "\udcff"}}):
        with pytest.raises(InvalidOption, match="half of a character"):
            JobOptions(**options)  # type: ignore[arg-type]
