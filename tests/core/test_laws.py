"""The laws of the core, each tried on a thousand random histories; those of workers have a file of their own.

What a history is, and who plays it, is told in ``driver``. A law that fails prints the shortest
history that breaks it.
"""

from collections import Counter, defaultdict
from copy import copy
from itertools import pairwise
from math import inf, nextafter
from typing import Any

import pytest
from attrs import evolve
from hypothesis import example, given

from actorq.config import ATTEMPT_HISTORY, JOB_LOG_LIMIT, Retention, Settings
from actorq.core import commands as c
from actorq.core import effects as e
from actorq.core import facts as f
from actorq.core.decide import alarm_rang, decide
from actorq.core.job import FINAL, HoldReason, Job, JobOptions, JobState
from actorq.core.ledger import Ledger
from actorq.core.machine import replay
from actorq.errors import ActorqError, DuplicateJob, InvalidOption, InvalidState, JobNotFound, QueueClosed, QueueFull

from .driver import (
    EPOCH,
    GROUPS,
    KNOWN,
    WAITING,
    Act,
    History,
    Turn,
    World,
    all_reports,
    dump,
    dump_roster,
    histories,
    place_of,
    places,
)
from .law import ENDS, LAW, at_each_start, has_room, play

REFUSALS: dict[type[c.Command], tuple[type[ActorqError], ...]] = {
    c.Submit: (QueueFull, QueueClosed, DuplicateJob),
    c.Rerun: (JobNotFound, InvalidState, QueueFull, QueueClosed),
    c.Cancel: (JobNotFound,),
    c.PauseAll: (InvalidOption,),
    **dict.fromkeys((c.Pause, c.Resume, c.Promote, c.Edit, c.Remove), (JobNotFound, InvalidState)),
}


# -- who writes ------------------------------------------------------------------------------------


@LAW
@given(histories(40))
def test_deciding_changes_nothing(history: History) -> None:
    """One writer: only Ledger.apply changes a job; decide and alarm_rang read."""

    def decides_without_a_trace(world: World, commands: list[c.Command], now: float) -> None:
        ledger, roster = world.machine.ledger, world.machine.roster
        before = dump(ledger), dump_roster(roster)
        now = max(now, ledger.now)
        for command in commands:
            if not isinstance(command, c.Report) or roster.claim_of(command.job_id, command.claim):
                decide(command, ledger, roster, now)
        for claim in roster.claims.values():
            for alarm in claim.armed:
                alarm_rang(claim, alarm, now)
        assert (dump(ledger), dump_roster(roster)) == before

    play(history, before=(decides_without_a_trace,))


@LAW
@given(histories())
def test_a_ledger_replayed_is_the_ledger_lived(history: History) -> None:
    """Replay: folding the facts of any history gives the ledger that lived it, in every field."""
    world = play(history)
    assert dump(replay(world.facts, World.blank())) == dump(world.machine.ledger)


@LAW
@given(histories(40))
def test_a_report_for_another_claim_changes_nothing(history: History) -> None:
    """Fencing: a report counts only for the claim that is running."""

    def is_fenced(world: World, turn: Turn) -> None:
        machine = world.machine
        ledger, roster = machine.ledger, machine.roster
        if not ledger.jobs or machine.next_deadline() <= turn.step.now:
            return
        job = list(ledger.jobs.values())[len(world.facts) % len(ledger.jobs)]
        before = dump(ledger), dump_roster(roster)
        forged = [report for claim in (job.claim + 1, job.claim - 1) for report in all_reports(job.id, claim)]
        if job.state is not JobState.RUNNING:
            forged += all_reports(job.id, job.claim)
        late = roster.late_reports
        step = machine.step(forged, turn.step.now)
        assert step.answers == [False] * len(forged)
        assert (step.facts, step.effects, step.ended) == ([], [], [])
        assert (dump(ledger), dump_roster(roster)) == before
        assert roster.late_reports == late + len(forged)

    play(history, is_fenced)


# -- time --------------------------------------------------------------------------------------------


@LAW
@given(histories())
def test_time_never_flows_back(history: History) -> None:
    """Time flows one way: no step and no fact is earlier than the one before, and no number is left out."""
    steps: list[float] = []
    world = play(history, lambda world, turn: steps.append(turn.step.now))
    assert all(a.at <= b.at for a, b in pairwise(world.facts))
    assert [fact.n for fact in world.facts] == list(range(1, len(world.facts) + 1))
    if world.lives == 1:
        assert steps == sorted(steps)


@LAW
@given(histories(40))
def test_nothing_happens_by_itself_before_the_next_deadline(history: History) -> None:
    """One alarm: whoever sleeps until next_deadline misses nothing."""

    def is_quiet(world: World, turn: Turn) -> None:
        deadline = world.machine.next_deadline()
        if deadline <= turn.step.now:
            return
        last = nextafter(deadline, -inf) if deadline < inf else turn.step.now + 1e6
        for now in (turn.step.now, last):
            step = world.machine.step([], max(now, turn.step.now))
            assert (step.facts, step.effects, step.ended) == ([], [], [])
        assert world.machine.next_deadline() == deadline

    play(history, is_quiet)


@LAW
@given(histories(40))
def test_the_alarm_never_rings_in_vain_for_ever(history: History) -> None:
    """One alarm: after a step or two at one time, the next deadline lies in the future."""

    def settles(world: World, turn: Turn) -> None:
        machine, now = world.machine, turn.step.now
        for _ in range(4):
            if machine.next_deadline() > now:
                return
            world.facts += machine.step([], now).facts
        pytest.fail(f"the machine spins at {now}: {machine.next_deadline()}, {machine!r}")

    world = World(history.settings)
    for act in history.acts:
        world.do(act)
    world.flush()
    for _ in range(30):  # and so it stays, from alarm to alarm
        at = world.machine.next_deadline()
        if at == inf:
            break
        step = world.machine.step([], at)
        settles(world, Turn([], at, step))


# -- places and numbers ------------------------------------------------------------------------------


@LAW
@given(histories())
def test_no_job_is_lost_and_none_is_in_two_places(history: History) -> None:
    """Each job is in the one place of its state; accepted = live + finished + removed."""

    def is_in_order(world: World, turn: Turn) -> None:
        ledger, roster = world.machine.ledger, world.machine.roster
        should: dict[str, list[str]] = {place: [] for place in places(ledger)}
        for job in ledger.jobs.values():
            should[place_of(job)].append(job.id)
        assert places(ledger) == {place: sorted(ids) for place, ids in should.items()}
        finished = sum(map(len, ledger.finished.values()))
        assert ledger.seq == ledger.live + finished + ledger.removed
        states = Counter(job.state for job in ledger.jobs.values())
        assert all(count == states[state] for state, count in ledger.count().items())
        assert set(roster.claims) == set(ledger.running)
        assert sorted(claim.worker for claim in roster.claims.values()) == sorted(
            worker for worker, job_id in roster.workers.items() if job_id is not None
        )
        for jobs in ledger.finished.values():
            ends = [job.ended_at for job in jobs.values() if job.ended_at is not None]
            assert ends == sorted(ends)
            assert len(ends) == len(jobs)
        waiting = {job.id for job in ledger.jobs.values() if job.state in WAITING and job.limit_at() < inf}
        assert set(ledger.limits) == waiting

    play(history, is_in_order)


@LAW
@given(histories())
def test_attempts_are_counted_before_they_run(history: History) -> None:
    """Each Dispatch has its Started in the same step; claims grow, over restarts too; attempts are bounded."""
    claims: dict[str, int] = {}

    def is_counted(world: World, turn: Turn) -> None:
        started = [(fact.worker, fact.job_id, fact.claim) for fact in turn.step.facts if isinstance(fact, f.Started)]
        dispatched = [
            (effect.worker, effect.job_id, effect.claim)
            for effect in turn.step.effects
            if isinstance(effect, e.Dispatch)
        ]
        assert started == dispatched
        for fact in turn.step.facts:
            if isinstance(fact, f.Submitted):
                claims[fact.job_id] = 0  # an id may come back once its job is removed
            if isinstance(fact, f.Started):
                assert fact.claim > claims[fact.job_id]
                claims[fact.job_id] = fact.claim

    world = play(history, is_counted)
    asked = {fact.job_id: fact for fact in world.facts if isinstance(fact, f.Submitted)}
    for fact in world.facts:
        if isinstance(fact, f.Started):
            assert 1 <= fact.attempt <= asked[fact.job_id].options.retry.max_attempts


@LAW
@given(histories())
def test_an_attempt_is_in_the_history_once(history: History) -> None:
    """The attempts that a job remembers have growing claims, and times that fit their order."""
    world = play(history)
    for job in world.machine.ledger.jobs.values():
        assert all(a.claim < b.claim for a, b in pairwise(job.attempts))
        assert all(a.ended_at <= b.started_at for a, b in pairwise(job.attempts))
        assert all(run.started_at <= run.ended_at for run in job.attempts)


@LAW
@given(histories())
def test_everything_has_its_bound(history: History) -> None:
    """Runs, live jobs, histories and logs are bounded."""

    def is_bounded(world: World, turn: Turn) -> None:
        ledger, roster = world.machine.ledger, world.machine.roster
        assert len(ledger.running) + len(roster.idle) == len(roster.workers)
        assert roster.lent == sum(claim.is_lent for claim in roster.claims.values())
        assert ledger.live <= world.settings.max_pending
        for jobs in ledger.finished.values():
            assert len(jobs) <= world.settings.retention.count
        for job in ledger.jobs.values():
            assert len(job.attempts) <= ATTEMPT_HISTORY
            assert len(job.log) <= JOB_LOG_LIMIT

    play(history, is_bounded)


# -- order and ends ----------------------------------------------------------------------------------


@LAW
@given(histories())
def test_the_first_in_order_starts_first(history: History) -> None:
    """Whenever a job starts, no other whose group has room has a higher priority, or was due or accepted before."""

    def is_first(job: Job, ledger: Ledger, limits: dict[str, int]) -> None:
        able = [ledger.jobs[job_id] for job_id in ledger.ready]
        able = [other for other in able if has_room(other.options.group, ledger, limits)]
        assert min(able, key=lambda other: (-other.options.priority, other.due_at, other.seq)).id == job.id

    play(history, at_each_start(is_first))


@LAW
@given(histories())
def test_what_is_over_never_starts(history: History) -> None:
    """No attempt starts at or after the passing of its job's ``expires`` or ``deadline``, or before it is due."""
    shadow = World.blank()
    for fact in play(history).facts:
        if isinstance(fact, f.Started):
            job = shadow.jobs[fact.job_id]
            assert job.due_at <= fact.at < job.limit_at()
        shadow.apply(fact)


@LAW
@given(histories())
def test_a_cancel_that_was_accepted_ends_as_cancelled(history: History) -> None:
    """Once cancel was answered with True, the next end of the job is ``cancelled``, also over a crash."""
    accepted: set[str] = set()

    def is_kept(world: World, turn: Turn) -> None:
        for command, answer in zip(turn.commands, turn.step.answers, strict=True):
            if isinstance(command, c.Cancel) and answer is True:
                accepted.add(command.job_id)
        for fact in turn.step.facts:
            if isinstance(fact, ENDS) and fact.job_id in accepted:
                assert isinstance(fact, f.Cancelled)
            if isinstance(fact, (*ENDS, f.Dropped)):
                accepted.discard(fact.job_id)

    world = play(history, is_kept, may_batch=False)
    assert accepted <= set(world.machine.ledger.running)


@LAW
@given(histories())
def test_the_first_final_state_wins(history: History) -> None:
    """After a job's end it can only stand for others, be rerun or be gone; ``ended`` tells of each end once."""
    ended: list[str] = []

    def is_told(world: World, turn: Turn) -> None:
        ends = [fact.job_id for fact in turn.step.facts if isinstance(fact, ENDS)]
        assert [job.id for job in turn.step.ended] == ends
        assert all(job.state in FINAL and job.ended_at == turn.step.now for job in turn.step.ended)
        ended.extend(ends)

    world = play(history, is_told)
    over: set[str] = set()
    for fact in world.facts:
        if fact.job_id in over:
            assert isinstance(fact, f.Requeued | f.Reinstated | f.Removed | f.Dropped | f.Deduplicated | f.QueueFact)
        if isinstance(fact, f.Requeued | f.Reinstated | f.Removed | f.Dropped):
            over.discard(fact.job_id)
        if isinstance(fact, ENDS):
            over.add(fact.job_id)


@LAW
@given(histories())
def test_every_command_has_one_answer(history: History) -> None:
    """A refusal is an answer of our own errors; what is submitted or rerun is answered by ids that were accepted."""

    def is_answered(world: World, turn: Turn) -> None:
        submitted = {fact.job_id for fact in world.facts if isinstance(fact, f.Submitted)}
        for command, answer in zip(turn.commands, turn.step.answers, strict=True):
            if isinstance(answer, ActorqError):
                continue
            match command:
                case c.Submit():
                    assert len(answer) == len(command.jobs)
                    assert submitted.issuperset(answer)
                case c.Rerun():
                    assert answer == (command.clone_id or command.job_id)
                    assert answer in submitted
                case _:
                    assert answer in (None, True, False)

    play(history, is_answered)


@LAW
@given(histories())
def test_every_refusal_is_one_of_those_that_its_command_promises(history: History) -> None:
    """What a caller has to be ready for is written down beside each command."""

    def is_promised(world: World, turn: Turn) -> None:
        for command, answer in zip(turn.commands, turn.step.answers, strict=True):
            if isinstance(answer, ActorqError):
                assert isinstance(answer, REFUSALS[type(command)])

    play(history, is_promised)


# -- keys, groups, pauses ----------------------------------------------------------------------------


@LAW
@given(histories())
def test_a_group_never_runs_more_than_its_limit_when_a_job_starts(history: History) -> None:
    """A limit that was lowered while more ran lets no further one start."""

    def has_a_place(job: Job, ledger: Ledger, limits: dict[str, int]) -> None:
        assert has_room(job.options.group, ledger, limits)

    play(history, at_each_start(has_a_place))


@LAW
@given(histories())
def test_nothing_that_is_paused_starts(history: History) -> None:
    """Neither in a paused queue nor in a paused group, nor a job that is held by hand."""

    def is_not_held(job: Job, ledger: Ledger, limits: dict[str, int]) -> None:
        assert job.state is JobState.QUEUED
        assert "" not in ledger.pauses
        assert job.options.group not in ledger.pauses

    play(history, at_each_start(is_not_held))


@LAW
@given(histories())
def test_one_job_of_a_key_runs_at_a_time(history: History) -> None:
    """However often it is submitted, rerun and cloned."""

    def is_alone(world: World, turn: Turn) -> None:
        running = [job for job in world.machine.ledger.running.values() if job.key is not None]
        assert len(running) == len({(job.task, job.key) for job in running})

    def runs_not_yet(job: Job, ledger: Ledger, limits: dict[str, int]) -> None:
        keys = [(other.task, other.key) for other in ledger.running.values()]
        assert job.key is None or (job.task, job.key) not in keys

    play(history, is_alone, at_each_start(runs_not_yet))


@LAW
@given(histories())
def test_what_is_blocked_has_something_that_blocks_it(history: History) -> None:
    """One of a blocked job's key runs, or is queued in its group; a group that is passed by has no room.

    So neither waits for nothing.
    """

    def is_hindered(world: World, turn: Turn) -> None:
        ledger = world.machine.ledger
        running = {(job.task, job.key) for job in ledger.running.values()}
        queued = [ledger.jobs[job_id] for job_id in ledger.ready]
        lanes = {(job.task, job.key, job.options.group or "") for job in queued}
        for job in ledger.jobs.values():
            if job.state is JobState.SCHEDULED and job.hold_reason is HoldReason.KEY:
                assert (job.task, job.key) in running or (job.task, job.key, job.options.group or "") in lanes
        limits = world.machine.roster.group_limits
        assert not any(has_room(group, ledger, limits) for group in ledger.ready._aside)

    play(history, is_hindered)


@LAW
@given(histories())
def test_indexes_are_what_the_jobs_say(history: History) -> None:
    """By key, by running key, by running group: nothing is left behind, nothing is missing."""

    def is_derived(world: World, turn: Turn) -> None:
        ledger = world.machine.ledger
        keys, groups = defaultdict[Any, list[str]](list), defaultdict[Any, set[str]](set)
        for job in sorted(ledger.jobs.values(), key=lambda job: job.seq):
            if job.key is not None:
                keys[job.task, job.key].append(job.id)
            if job.state is JobState.RUNNING and job.options.group is not None:
                groups[job.options.group].add(job.id)
        seen = dump(ledger)
        assert seen["keys"] == keys
        assert seen["running_groups"] == groups
        running = {(job.task, job.key): job.id for job in ledger.running.values() if job.key is not None}
        assert seen["running_keys"] == running
        assert {scope for *_, scope in seen["pause_ends"]} == set(ledger.pauses)

    play(history, is_derived)


@LAW
@given(histories())
def test_the_newest_job_of_a_key_holds_it(history: History) -> None:
    """It stands for whoever asks with return_existing; whoever is accepted holds it from then on."""
    holders: dict[Any, str] = {}
    known: set[str] = set()

    def look(world: World, commands: list[c.Command], now: float) -> None:
        jobs = sorted(world.machine.ledger.jobs.values(), key=lambda job: job.seq)
        holders.clear()
        holders.update({(job.task, job.key): job.id for job in jobs if job.key is not None})
        known.clear()
        known.update(world.machine.ledger.jobs)

    def is_held(world: World, turn: Turn) -> None:
        for command, answer in zip(turn.commands, turn.step.answers, strict=True):
            if not isinstance(command, c.Submit) or isinstance(answer, ActorqError):
                continue
            for job, answered in zip(command.jobs, answer, strict=True):
                key = job.task, job.key
                if job.id in known or job.key is None:
                    continue
                if job.on_conflict == "return_existing":
                    assert answered == holders.get(key, job.id)
                assert answered in (job.id, holders.get(key))
                holders[key] = answered

    play(history, is_held, before=(look,), may_batch=False)


@LAW
@given(histories())
def test_a_submission_adds_no_more_than_it_says(history: History) -> None:
    """Each new id in the answer has its Submitted in the step, and there is none beside those and dead letters."""

    def is_as_said(world: World, turn: Turn) -> None:
        facts = [fact for fact in turn.step.facts if isinstance(fact, f.Submitted)]
        answered = [
            job_id
            for command, answer in zip(turn.commands, turn.step.answers, strict=True)
            if isinstance(answer, str | tuple) and isinstance(command, c.Submit | c.Rerun)
            for job_id in ((answer,) if isinstance(answer, str) else answer)
        ]
        assert {fact.job_id for fact in facts if fact.dead_letter_of is None} <= set(answered)

    play(history, is_as_said)


@LAW
@given(histories())
def test_a_paused_job_keeps_all_that_it_is(history: History) -> None:
    """Over its pause, over crashes, over its resume: options, arguments, attempts, place; only an edit changes it."""
    kept: dict[str, Job] = {}

    def is_kept(world: World, turn: Turn) -> None:
        paused = world.machine.ledger.paused
        touched = {fact.job_id for fact in turn.step.facts if isinstance(fact, f.Paused | f.Edited)}
        for job_id in [job_id for job_id in kept if job_id not in paused or job_id in touched]:
            del kept[job_id]
        for job in paused.values():
            before = kept.setdefault(job.id, copy(job))
            assert evolve(job, retried_by=before.retried_by) == before  # a clone may be withdrawn all the same

    shadow = World.blank()
    for fact in play(history, is_kept).facts:
        before = copy(shadow.jobs.get(fact.job_id))
        after = shadow.apply(fact)
        if isinstance(fact, f.Paused | f.Resumed):
            assert before is not None
            assert after is not None
            changed: dict[str, Any] = {"state": before.state}
            if isinstance(fact, f.Resumed):
                changed["hold_reason"] = before.hold_reason
            if isinstance(fact, f.Resumed) and before.hold_reason and before.hold_reason.is_parked:
                changed["failure"] = before.failure  # it said what held the job
            assert evolve(after, **changed) == before


@LAW
@given(histories(40))
def test_a_verb_that_is_refused_changes_nothing(history: History) -> None:
    """Neither the jobs nor the living."""

    def is_untouched(world: World, turn: Turn) -> None:
        machine, now = world.machine, turn.step.now
        ledger, roster = machine.ledger, machine.roster
        if machine.next_deadline() <= now:
            return
        before = dump(ledger), dump_roster(roster)
        job = list(ledger.jobs.values())[len(world.facts) % len(ledger.jobs)] if ledger.jobs else None
        for verb in all_verbs(job):
            if isinstance(decide(verb, ledger, roster, now).answer, ActorqError):
                step = machine.step([verb], now)
                assert (step.facts, step.effects, step.ended) == ([], [], [])
        assert (dump(ledger), dump_roster(roster)) == before

    play(history, is_untouched)


def all_verbs(job: Job | None) -> list[c.Command]:
    """Return all that can be asked of this job, and of one that nobody knows."""
    ids = ["nobody"] if job is None else ["nobody", job.id]
    verbs: list[c.Command] = [c.Rerun(job_id, clone_id="clone") for job_id in ids]
    for job_id in ids:
        verbs += [verb(job_id) for verb in (c.Cancel, c.Rerun, c.Pause, c.Resume, c.Promote, c.Edit, c.Remove)]
    for policy in ("reject", "replace", "strict_body"):
        if job is not None and job.key is not None:
            twin = c.NewJob("twin", job.task, b"[3]", JobOptions(), key=job.key, on_conflict=policy)
            verbs.append(c.Submit((c.NewJob("other", KNOWN, b"[]", JobOptions()), twin)))
    return verbs


# -- links -------------------------------------------------------------------------------------------


@LAW
@given(histories())
def test_links_lead_both_ways_while_both_ends_are_there(history: History) -> None:
    """From a clone to its origin and from that to its last clone; from a dead job to its letter and back."""

    def leads_back(world: World, turn: Turn) -> None:
        jobs = world.machine.ledger.jobs
        ids = Counter(fact.job_id for fact in world.facts if isinstance(fact, f.Submitted))
        once = {job_id: job for job_id, job in jobs.items() if ids[job_id] == 1}  # an id may come back
        for job in once.values():
            for there, back in (("retry_of", "retried_by"), ("dead_letter_of", "dead_letter_job_id")):
                if (origin := once.get(getattr(job, there) or "")) is not None:
                    assert getattr(origin, back) is not None
                    last = once.get(getattr(origin, back), job)
                    assert last.seq >= job.seq
                    assert getattr(last, there) == origin.id

    play(history, leads_back)


@LAW
@given(histories())
def test_each_death_of_a_job_that_names_a_task_makes_one_job_of_it(history: History) -> None:
    """In the same step, so a crash loses neither or both; and that job is buried itself, but makes no other."""

    def is_told(world: World, turn: Turn) -> None:
        deaths, letters = Counter[str](), Counter[str]()
        for fact in turn.step.facts:
            if isinstance(fact, f.DeadLettered):
                job = shadow.jobs[fact.job_id]
                deaths[fact.job_id] += isinstance(job.options.dead_letter, str) and not job.ephemeral
            if isinstance(fact, f.Submitted) and fact.dead_letter_of is not None:
                letters[fact.dead_letter_of] += 1
                assert fact.options.dead_letter in (True, False)
                assert fact.task == shadow.jobs[fact.dead_letter_of].options.dead_letter
            shadow.apply(fact)
        assert +letters == +deaths

    shadow = World.blank()
    play(history, is_told)


# -- pictures, budgets, and the end of it all --------------------------------------------------------


@LAW
@given(histories())
@example(  # a page is dropped while its picture waits
    History(
        Settings(retention=Retention(count=0)),
        (
            *(Act("submit", 1, 0, 1),) * 9, Act("photo", 0, 0, 0),
            *(Act("finish", 0, 0, 1),) * 18, Act("take", 200, 0, 0),
        ),
    )
)  # fmt: skip
def test_a_picture_shows_the_moment_at_which_it_was_begun(history: History) -> None:
    """A picture taken in slices, with life between them, is the ledger as it stood; and can be lived on."""
    world = World(history.settings)
    world.play(history.acts)
    if world.photo is None:
        world.begin_photo()
    world.close_photo()
    for totals, meant, taken in world.photos:
        assert taken == meant
        restored = Ledger(totals, taken)
        facts = [fact for fact in world.facts if fact.n <= totals.n]
        assert dump(restored) == dump(replay(facts, World.blank()))


@LAW
@given(histories(40))
def test_every_job_ends_if_the_workers_do_their_work(history: History) -> None:
    """Liveness: with workers that obey and finish, and time that goes on, every job that is not parked ends.

    So does one whose task was paused, once that is resumed, and one for which all workers were deaf, once they return.
    """
    world = play(history)
    if world.is_draining or len(history.acts) % 2:
        world.crash(from_picture=True, registered=True)
    else:
        world.step([], world.now)  # whoever is found to be silent now is found before his task is resumed
        world.step([*map(c.Return, world.deaf), *map(c.ResumeTask, list(world.machine.roster.paused_tasks))], world.now)
    machine = world.machine
    world.step([*map(c.ResumeAll, GROUPS), *map(c.Resume, machine.ledger.paused)], world.now)
    for _ in range(500):
        if machine.ledger.live == machine.ledger.parked_count:
            break
        reports: list[c.Command] = [world.report("finish", run, 0) for run in list(world.runs.values())]
        at = machine.next_deadline()
        world.step(reports, world.now if reports or at == inf else at)
    assert machine.ledger.live == machine.ledger.parked_count
    assert not machine.roster.claims
    parked = [job for jobs in machine.ledger.parked.values() for job in jobs.values()]
    assert HoldReason.TASK_PAUSED not in {job.hold_reason for job in parked}
    assert KNOWN not in {job.task for job in machine.ledger.jobs.values() if job.state is JobState.QUEUED}
    assert world.now >= EPOCH
