"""For tests of code that uses the queue: a clock that the test owns, directories that are no directories, and rigour.

:class:`VirtualClock` owns all of the queue's time. :func:`no_blocking` fails the test whose job blocks the event
loop. The others stand in for the directory of a queue,
``JobQueue(files=…)``:

* :class:`MemoryFiles` is one in memory: it outlives the queue, and a copy of it is what a crash would leave;
* :class:`FaultyFiles` stands before any of them, counts what is asked of it, and lets one thing of it fail;
* :class:`SimulatedDisk` is the worst that a disk may be by the rules: it keeps what was synced, and of all else
  what it likes.
"""

from actorq.testing.blocking import LoopBlocked, no_blocking
from actorq.testing.clock import VirtualClock
from actorq.testing.disk import SimulatedDisk
from actorq.testing.faults import Died, Fault, FaultyFiles, Operation
from actorq.testing.files import MemoryFiles

__all__ = [
    "Died",
    "Fault",
    "FaultyFiles",
    "LoopBlocked",
    "MemoryFiles",
    "Operation",
    "SimulatedDisk",
    "VirtualClock",
    "no_blocking",
]
