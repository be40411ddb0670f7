"""Every error a caller can meet, drawn as a tree.

::

    ActorqError
    ├── Refused                  asked at the wrong time or in the wrong way; nothing was changed
    │   ├── QueueFull            no room for more live jobs
    │   ├── DuplicateJob         its key is held by another job
    │   ├── QueueClosed          not open yet, closing, or closed
    │   ├── WrongThread          called from a thread that is not the event loop's
    │   ├── PayloadError         an argument or a result that cannot be stored as JSON
    │   ├── InvalidOption        an option outside its range (also a ValueError)
    │   ├── InvalidCursor        not the cursor of a page of this query (also a ValueError)
    │   ├── UnstorableTask       a function without a name that a restart would find (also a ValueError)
    │   └── UnsendableTask       a function that a worker process would not find (also a ValueError)
    ├── JobError                 something about one job; carries ``job_id``
    │   ├── JobFailed            its attempts are used up, or a limit has passed
    │   ├── JobCancelled
    │   ├── JobLost              it is known no longer: retention or removal took it
    │   ├── JobNotFound
    │   └── InvalidState         the verb does not fit the state
    ├── StoreError               something about the directory; carries ``path``
    │   ├── StoreLocked          another process owns it
    │   ├── StoreCorrupt         damage that must not be guessed away
    │   ├── StoreTooNew          written by a later actorq
    │   ├── StoreFull            no room on the disk; goes on by itself when there is some
    │   └── StoreFailed          the disk lost what was being written: what was not acknowledged is unknown
    ├── UnknownTask              no such task in this queue
    ├── WorkersKeepDying         the restart budget is used up
    └── InternalError            a bug of ours: the queue has stopped

    Verdict                      raised *by* a function, to say what becomes of its job
    ├── RetryAfter               run me again in so many seconds; uses an attempt
    ├── Snooze                   run me again in so many seconds; uses none
    ├── Unrecoverable            do not try again
    └── CancelJob                end as cancelled

    AttemptCancelled             raised *in* a function that looks whether it was asked to stop (a BaseException)

An error takes data, keeps it as attributes, and says what happened, where, and what to do next.
"""

from __future__ import annotations

__all__ = [
    "ActorqError",
    "AttemptCancelled",
    "CancelJob",
    "DuplicateJob",
    "InternalError",
    "InvalidCursor",
    "InvalidOption",
    "InvalidState",
    "JobCancelled",
    "JobError",
    "JobFailed",
    "JobLost",
    "JobNotFound",
    "PayloadError",
    "QueueClosed",
    "QueueFull",
    "Refused",
    "RetryAfter",
    "Snooze",
    "StoreCorrupt",
    "StoreError",
    "StoreFailed",
    "StoreFull",
    "StoreLocked",
    "StoreTooNew",
    "UnknownTask",
    "Unrecoverable",
    "UnsendableTask",
    "UnstorableTask",
    "Verdict",
    "WorkersKeepDying",
    "WrongThread",
]


class ActorqError(Exception):
    """The root: ``except ActorqError`` catches all that this package raises on purpose."""


# -- refused: nothing was changed ---------------------------------------------------------------


class Refused(ActorqError):
    """The request was not taken, and left no trace."""


class QueueFull(Refused):
    """There is no room for ``asked`` more live jobs under the limit ``limit``."""

    def __init__(self, asked: int, room: int, limit: int, *, advice: str | None = None) -> None:
        self.asked = asked
        self.room = room
        self.limit = limit
        advice = advice or "Await submit() to wait for room, or raise max_pending."
        super().__init__(f"No room for {asked} more: {room} of max_pending={limit} are free. {advice}")


class DuplicateJob(Refused):
    """Job ``job_id`` of the same task holds the key ``key``, and ``why`` it cannot stand for the new one."""

    def __init__(self, task: str, key: str, job_id: str, why: str) -> None:
        self.task = task
        self.key = key
        self.job_id = job_id
        self.why = why
        super().__init__(f"Key {key!r} of task {task!r} is held by job {job_id}: {why}. Nothing was submitted.")


class QueueClosed(Refused):
    """The queue does not take or answer this, because it is not open."""

    def __init__(self, name: str, when: str) -> None:
        self.name = name
        self.when = when
        super().__init__(
            f"Queue {name!r} is {when}. Use it inside 'async with queue:'; stored jobs go on when it is opened again."
        )


class WrongThread(Refused):
    """The queue belongs to the event loop that opened it; nothing was asked of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"Queue {name!r} was called from a thread that is not its event loop's. From a thread that anyio or "
            "the queue started, use anyio.from_thread.run(task.submit, …); from others, a portal of anyio's."
        )


class PayloadError(Refused):
    """A value cannot be stored as JSON; ``where`` names the argument or says ``result``."""

    def __init__(self, task: str, where: str, why: str) -> None:
        self.task = task
        self.where = where
        self.why = why
        super().__init__(f"Task {task!r}: {where} cannot be stored: {why}.")


class InvalidOption(Refused, ValueError):
    """The option ``option`` does not take ``value``."""

    def __init__(self, option: str, value: object, why: str) -> None:
        self.option = option
        self.value = value
        self.why = why
        super().__init__(f"{option}={_shown(value)}: {why}.")


class InvalidCursor(Refused, ValueError):
    """The cursor ``cursor`` did not come with a page of this filter and order."""

    def __init__(self, cursor: object) -> None:
        self.cursor = cursor
        super().__init__(
            f"cursor={_shown(cursor)} is not of this query. Give the cursor of a Page as it is, with the same filter "
            "and order; or none, to begin again."
        )


def _shown(value: object) -> str:
    try:
        return repr(value)[:200]
    except Exception as broken:  # noqa: BLE001 - __repr__ is the user's, and an int may have too many digits
        return f"<{type(value).__name__}: {type(broken).__name__}>"


class UnstorableTask(Refused, ValueError):
    """The function cannot be a task: a restart could not find it under a name of its own."""

    def __init__(self, name: str, why: str) -> None:
        self.name = name
        self.why = why
        super().__init__(f"{name}: {why}.")


class UnsendableTask(Refused, ValueError):
    """The function cannot run in a worker process: it would not be found there."""

    def __init__(self, name: str, why: str) -> None:
        self.name = name
        self.why = why
        super().__init__(f"{name}: {why}.")


# -- about one job ------------------------------------------------------------------------------


class JobError(ActorqError):
    """Something about the job ``job_id``."""

    def __init__(self, job_id: str, message: str) -> None:
        self.job_id = job_id
        super().__init__(message)


class JobFailed(JobError):
    """The job has ended without a result.

    ``reason`` is a :class:`actorq.Reason`; ``type``, ``message`` and ``traceback`` are the text of the
    last failure; ``attempts`` counts the runs. The original exception, where this process still has
    it, is ``__cause__``.
    """

    def __init__(
        self,
        job_id: str,
        task: str,
        reason: str,
        type: str,  # noqa: A002 - the word that its reader looks for
        message: str,
        traceback: str,
        attempts: int,
    ) -> None:
        self.task = task
        self.reason = reason
        self.type = type
        self.message = message
        self.traceback = traceback
        self.attempts = attempts
        what = f"{type}: {message}" if message else type
        runs = f"{attempts} attempt" + ("" if attempts == 1 else "s")
        super().__init__(job_id, f"Job {job_id} ({task}) failed after {runs}, reason {reason}: {what}")


class JobCancelled(JobError):
    """The job was cancelled; ``reason`` is a :class:`actorq.Reason`, ``message`` what was said."""

    def __init__(self, job_id: str, task: str, reason: str, message: str) -> None:
        self.task = task
        self.reason = reason
        self.message = message
        super().__init__(
            job_id, f"Job {job_id} ({task}) was cancelled, reason {reason}" + (f": {message}" if message else "")
        )


class JobLost(JobError):
    """Nothing is known of the job any more: retention has removed it, or it was never stored."""

    def __init__(self, job_id: str) -> None:
        super().__init__(
            job_id, f"Job {job_id} is not known (any more). Await it earlier, or keep finished jobs longer: retention=."
        )


class JobNotFound(JobError):
    """A verb names a job that the queue does not hold."""

    def __init__(self, job_id: str) -> None:
        super().__init__(job_id, f"There is no job {job_id} in this queue.")


class InvalidState(JobError):
    """``verb`` does not fit a job in state ``state``; nothing was changed."""

    def __init__(self, job_id: str, state: str, verb: str) -> None:
        self.state = state
        self.verb = verb
        super().__init__(job_id, f"Cannot {verb} job {job_id}: it is {state}.")


# -- about the directory ------------------------------------------------------------------------


class StoreError(ActorqError):
    """The directory or a file in it, ``path``, cannot be used as it is."""

    def __init__(self, path: str, message: str) -> None:
        self.path = path
        super().__init__(f"{path}: {message}")


class StoreLocked(StoreError):
    """Another queue, here or in another process, owns the directory; ``owner`` says which."""

    def __init__(self, path: str, owner: str) -> None:
        self.owner = owner
        super().__init__(
            path,
            f"in use by {owner}. One queue owns a directory at a time; "
            "if that process is gone, a child that it left behind may still hold the lock.",
        )


class StoreCorrupt(StoreError):
    """``line`` (counted from 1) of the file cannot be trusted. Nothing was changed."""

    def __init__(self, path: str, line: int, why: str, advice: str) -> None:
        self.line = line
        self.why = why
        super().__init__(path, f"line {line}: {why}. Nothing was changed. {advice}")


class StoreTooNew(StoreError):
    """The file has format version ``found``; this actorq reads up to ``supported``."""

    def __init__(self, path: str, found: int, supported: int) -> None:
        self.found = found
        self.supported = supported
        super().__init__(path, f"format version {found}, but this actorq reads up to {supported}: upgrade actorq.")


class StoreFull(StoreError):
    """There is no room on the disk. A submission that meets this was not taken; the queue goes on by itself."""


class StoreFailed(StoreError):
    """The journal cannot be trusted any more, and nothing further is acknowledged.

    What was asked and not acknowledged by then is *unknown*: it may be on the disk or not. What runs may come to its
    end, which will not be stored. Close the queue and open it again: recovery reads what the disk really has.
    """

    def __init__(self, path: str, why: str) -> None:
        self.why = why
        super().__init__(
            path,
            f"the journal has failed: {why} What was not acknowledged is unknown. Close the queue and open it again: "
            "it goes on from what is on the disk.",
        )


# -- about the house ----------------------------------------------------------------------------


class UnknownTask(ActorqError):
    """No task of that name is registered with the queue."""

    def __init__(self, name: str, why: str = "import the module that declares it before opening the queue") -> None:
        self.name = name
        super().__init__(f"Unknown task {name!r}: {why}.")


class WorkersKeepDying(ActorqError):
    """More than ``deaths`` workers were lost within ``window_s`` seconds: the queue has stopped.

    Source: the restart intensity of Erlang/OTP supervisors.
    """

    def __init__(self, deaths: int, window_s: float, last: str) -> None:
        self.deaths = deaths
        self.window_s = window_s
        super().__init__(
            f"More than {deaths} workers were lost within {window_s:g} s (the last: {last}). The queue has stopped; "
            "find the job that ignores cancellation, or raise restarts=."
        )


class InternalError(ActorqError):
    """A bug in actorq. The queue has stopped, what is in its directory stands, and every waiter hears this."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what}. This is a bug in actorq: the queue has stopped; stored jobs go on at the next start."
        )


# -- raised by functions ------------------------------------------------------------------------


class Verdict(Exception):
    """What a function raises to decide itself what becomes of its job."""


class RetryAfter(Verdict):
    """The attempt failed; run the job again in ``seconds``, whatever its backoff says."""

    def __init__(self, seconds: float, message: str = "") -> None:
        self.seconds = seconds
        super().__init__(message or f"retry after {seconds} s")


class Snooze(Verdict):
    """Nothing went wrong; run the job again in ``seconds``. Uses no attempt."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        super().__init__(f"snooze {seconds} s")


class Unrecoverable(Verdict):
    """The attempt failed, and another would too."""


class CancelJob(Verdict):
    """End the job as cancelled, reason ``handler``."""

    def __init__(self, reason: str = "") -> None:
        self.reason = reason
        super().__init__(reason)


# -- raised in functions ------------------------------------------------------------------------


class AttemptCancelled(BaseException):
    """The attempt was asked to stop, for ``reason``, a :class:`actorq.Reason`.

    A function lets it pass, or tidies up and raises it again; ``except Exception`` does not stop it.
    """

    def __init__(self, reason: str = "") -> None:
        self.reason = reason
        super().__init__("the attempt was asked to stop" + (f", reason {reason}" if reason else ""))
