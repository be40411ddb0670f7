"""Worker processes: where jobs run that need a core for themselves, may eat memory, or must be killed.

The queue's side: ``reference`` says which functions can be found elsewhere, ``pool`` has the processes, ``run`` is
one attempt, ``process``, ``ends`` and ``channel`` are one process and what is said to it, ``memory`` keeps limits,
``pulse`` feels whether it lives, ``obituary`` tells an end. The other side: ``child`` is what runs in the process,
``birth`` makes it one of ours, ``line`` is its end of the socket, ``assignment`` one attempt, ``interrupt`` stops a
function, ``resident`` measures. Both know ``wire``, what they say to each other, and ``preparation``.
"""

from __future__ import annotations

from actorq.actors.processes.memory import check_memory_can_be_measured
from actorq.actors.processes.pool import ProcessPool
from actorq.actors.processes.preparation import check_not_preparing
from actorq.actors.processes.reference import Reference, check_sendable, reference_of
from actorq.actors.processes.run import ProcessRun

__all__ = [
    "ProcessPool", "ProcessRun", "Reference", "check_memory_can_be_measured", "check_not_preparing", "check_sendable",
    "reference_of",
]  # fmt: skip
