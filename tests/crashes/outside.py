"""The ledger outside: what a queue has said over all its lives, and which of it turned out to be untrue.

It hears the lines of ``program`` (or of ``steps``), life after life, and compares each start with what was promised:

* what was accepted is there, and runs until it ends;
* an end that was told stands, and what has ended does not run again, unless somebody asks for it;
* of a batch there is all or nothing, told or not;
* nothing is there that nobody submitted, and nothing comes back that was gone or refused;
* claims only grow, and a run that was seen was counted;
* a job runs no more often than its attempts and the crashes allow;
* what was cancelled ends as cancelled, and what was rerun is not as it was before.

A power cut may forget the count of the last runs, for nobody waits for those to be on the disk; ``is_cut`` says so.
"""

from collections.abc import Callable, Iterable
from typing import Final

from attrs import define, field, frozen

ATTEMPTS: Final = 4
"""No job of these programs is tried more often."""

CUT_SLACK: Final = 4
"""So many runs at most can be forgotten in a power cut."""

PROMISES: Final = ("accepted", "ended", "cancelled", "reran", "refused")

FINAL: Final = ("succeeded", "failed", "dead_letter", "cancelled")


@define
class Known:
    """What is known of a job."""

    born: int
    """In which life it was submitted."""
    is_certain: bool = False
    """Whether it was accepted, or found after a start."""
    end: str | None = None
    """How it has ended, if that is certain."""
    is_rerunning: bool = False
    """Whether somebody has asked for it to run again, and nobody knows yet what came of that."""
    is_asked_to_end: bool = False
    """Whether somebody has tried to cancel it."""
    is_cancelled: bool = False
    claim: int = 0
    """Of the last run that was seen."""
    rerun_behind: int | None = None
    """Its last claim before it was rerun, if that was promised and has not been looked at yet."""
    claim_before: int = 0
    runs: int = 0
    reruns: int = 0

    @property
    def may_be_gone(self) -> bool:
        """Whether retention may have removed it, or it was never there."""
        return not self.is_certain or (self.end is not None and self.rerun_behind is None)


@frozen
class Found:
    """A job as a start has found it."""

    state: str
    claim: int
    attempt: int
    interruptions: int

    @property
    def is_final(self) -> bool:
        return self.state in FINAL


@define
class Outside:
    """Hears everything, and keeps what was untrue in ``lies``."""

    remembers: bool = True
    """Whether to keep every job for ever; else those that have ended and are not found any more are forgotten."""
    lies: list[str] = field(factory=list[str])
    jobs: dict[str, Known] = field(factory=dict[str, Known])
    open: dict[str, Known] = field(factory=dict[str, Known])
    """Those of which a start can tell something new."""
    batches: list[list[str]] = field(factory=list[list[str]])
    gone: set[str] = field(factory=set[str])
    """Submitted, never accepted, and not found; or refused."""
    lives: int = 0
    starts: int = 0
    """Lives that came to tell what they have found."""
    accepted: int = 0
    ends: int = 0
    runs: int = 0
    takes_back: bool = False
    """Whether some life has begun to end in peace, which takes runs back without counting them."""
    was_cut: bool = False
    """Whether the last life ended with the power."""
    unfinished: int = 0
    """Jobs of the last look that had not ended."""
    last_report: str = ""
    troubles: list[str] = field(factory=list[str])
    """What the program has said of errors, in order."""
    _forgotten: int = 0
    _found: dict[str, Found] = field(factory=dict[str, Found])

    def begin_life(self) -> None:
        self.lives += 1
        self._found = {}

    def hear(self, lines: Iterable[tuple[str, bool]]) -> None:
        """Hear lines of this life, and of each whether it was said early enough to be a promise."""
        for line, is_promise in lines:
            word, *rest = line.split(" ")
            hear: Callable[..., None] | None = getattr(self, f"hear_{word}", None)
            if hear is None:
                self.lies.append(f"said what nobody understands: {line}")
            elif is_promise or word not in PROMISES:
                hear(*rest)

    def lie(self, job_id: str, what: str) -> None:
        self.lies.append(f"life {self.lives}: job {job_id} {what}; known was {self.jobs.get(job_id)}")

    # -- lines ---------------------------------------------------------------------------------------

    def hear_try(self, *ids: str) -> None:
        for job_id in ids:
            self.jobs[job_id] = self.open[job_id] = Known(self.lives)
        if len(ids) > 1:
            self.batches.append(list(ids))

    def hear_accepted(self, *ids: str) -> None:
        self.accepted += len(ids)
        for job_id in ids:
            self.jobs[job_id].is_certain = True

    def hear_refused(self, *ids: str) -> None:
        for job_id in ids:
            if self.jobs[job_id].is_certain:
                self.lie(job_id, "was refused after it had been accepted")
            self.gone.add(job_id)

    def hear_unknown(self, *ids: str) -> None:
        """Learn that the queue does not know what has become of them: that promises nothing."""

    def hear_syncing(self) -> None:
        """Learn nothing of any job."""

    def hear_synced(self) -> None:
        """Learn nothing of any job."""

    def hear_stands(self, tasks: str, live: str, balance: str) -> None:
        self.last_report = f"{tasks} tasks, {live} live jobs, counts {balance}"
        if balance != "balanced":
            self.lies.append(f"life {self.lives}: the counts do not balance")

    def hear_said(self, number: str) -> None:
        """Learn that a step was done."""

    def hear_trouble(self, *words: str) -> None:
        self.troubles.append(" ".join(words))

    def hear_ran(self, job_id: str, claim: str, attempt: str) -> None:
        self.runs += 1
        job = self.jobs.get(job_id)
        if job is None:
            self.lie(job_id, "runs, and nobody has submitted it")
            return
        if job_id in self.gone:
            self.lie(job_id, "runs, and was refused")
        if job.end is not None and not job.is_rerunning:
            self.lie(job_id, "runs again, and its end had been told")
        if int(claim) <= job.claim:
            self.lie(job_id, f"runs with claim {claim}, which is not new")
        if int(attempt) > ATTEMPTS:
            self.lie(job_id, f"runs for the time {attempt}")
        job.claim = max(job.claim, int(claim))
        job.runs += 1
        crashes = (self.lives - job.born) * (CUT_SLACK if self.was_cut else 1)
        if job.runs > ATTEMPTS * (1 + job.reruns) + crashes:
            self.lie(job_id, "runs too often")

    def hear_ended(self, job_id: str, state: str) -> None:
        self.ends += 1
        job = self.jobs[job_id]
        if job.is_cancelled and state != "cancelled":
            self.lie(job_id, f"was cancelled, and ended as {state}")
        job.is_certain, job.end, job.is_rerunning, job.rerun_behind = True, state, False, None
        self.open.pop(job_id, None)

    def hear_cancelling(self, job_id: str) -> None:
        self.jobs[job_id].is_asked_to_end = True

    def hear_cancelled(self, job_id: str) -> None:
        self.jobs[job_id].is_cancelled = True

    def hear_rerunning(self, job_id: str) -> None:
        job = self.open[job_id] = self.jobs[job_id]
        job.is_rerunning, job.claim_before = True, job.claim
        job.reruns += 1

    def hear_reran(self, job_id: str) -> None:
        self.jobs[job_id].rerun_behind = self.jobs[job_id].claim_before

    def hear_closing(self) -> None:
        self.takes_back = True

    def hear_closed(self) -> None:
        """Learn that nothing more is to come."""

    # -- a start -------------------------------------------------------------------------------------

    def hear_found(self, job_id: str, state: str, *numbers: str) -> None:
        self._found[job_id] = Found(state, *map(int, numbers))

    def hear_opened(self, submitted: str, count: str) -> None:
        self.starts += 1
        found = self._found
        if len(found) != int(count):
            self.lies.append(f"life {self.lives}: found {count} jobs and told of {len(found)}")
        self._look_for_halves(found)
        for job_id, job in list(self.open.items()):
            if job_id not in found:
                self._miss(job_id, job)
        for job_id, there in found.items():
            self._compare(job_id, there)
        if not self.remembers:
            self._forget(found)
        self.unfinished = sum(not there.is_final for there in found.values())
        if int(submitted) < sum(1 for job in self.jobs.values() if job.is_certain) + self._forgotten:
            self.lies.append(f"life {self.lives}: only {submitted} jobs are said to have been submitted")

    def _forget(self, found: dict[str, Found]) -> None:
        """Forget what retention has taken: it is not spoken of any more."""
        gone = [job_id for job_id, job in self.jobs.items() if job_id not in found and job_id not in self.open]
        self._forgotten += sum(self.jobs[job_id].is_certain for job_id in gone)
        for job_id in gone:
            del self.jobs[job_id]

    def _look_for_halves(self, found: dict[str, Found]) -> None:
        for ids in self.batches:
            there = sum(job_id in found for job_id in ids)
            if 0 < there < len(ids) and not any(self.jobs[job_id].end for job_id in ids):
                self.lies.append(f"life {self.lives}: {there} of a batch of {len(ids)} are there, from {ids[0]} on")
        self.batches = []

    def _miss(self, job_id: str, job: Known) -> None:
        if not job.may_be_gone:
            self.lie(job_id, "is LOST")
        if not job.is_certain:
            self.gone.add(job_id)
        del self.open[job_id]

    def _compare(self, job_id: str, there: Found) -> None:
        job = self.jobs.get(job_id)
        if job is None or job_id in self.gone:
            self.lie(job_id, "is there, and nobody has submitted it" if job is None else "is there again")
            return
        if job.end is not None and not job.is_rerunning and there.state != job.end:
            self.lie(job_id, f"is {there.state}, and its end had been told")
        if job.is_cancelled and there.state != "cancelled":
            self.lie(job_id, f"is {there.state}, and had been cancelled")
        may_not_have_run = not there.is_final or (job.is_asked_to_end and there.state == "cancelled")
        if job.rerun_behind is not None and there.claim <= job.rerun_behind and not may_not_have_run:
            self.lie(job_id, f"is {there.state}, as it was before it was rerun")
        self._compare_claims(job_id, job, there)
        job.is_certain, job.is_rerunning, job.rerun_behind = True, False, None
        job.end = there.state if there.is_final else None
        if there.is_final:
            self.open.pop(job_id, None)
        else:
            self.open[job_id] = job

    def _compare_claims(self, job_id: str, job: Known, there: Found) -> None:
        if self.was_cut:
            job.claim = 0
        if there.claim < job.claim:
            self.lie(job_id, f"knows of claim {there.claim} only: a run was not counted")
        is_simple = not (job.reruns or self.takes_back)
        if is_simple and there.attempt + there.interruptions != there.claim:
            self.lie(job_id, f"has run {there.claim} times, and counts otherwise: {there}")
