"""Five systems' words for a job, and their options for ours: each user finds what he knew.

Each view is a module with the same functions:

- ``status(record)``: the system's own document, with its field names, types, units and state words, as plain JSON;
- ``state(record)``: the word alone, and ``parse_state(word, …)`` the way back where there is one;
- ``retry(…)``: a rule that waits as long as that system does;
- ``options({…})``: options in its names and units, for ``task.using(**…)``.

All are pure: nothing is asked of a queue, and nothing is kept. What the words mean stands in one table,
:mod:`actorq.views.vocabulary`.
"""

from actorq.views import dataqueue, flare, iron, pipeshub, rethinkdb
from actorq.views.picture import Meaning

__all__ = ["Meaning", "dataqueue", "flare", "iron", "pipeshub", "rethinkdb"]
