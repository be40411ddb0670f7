"""The rooms that await: thin actors around the core.

To be read in this order: ``clock``, ``spawn`` and ``mailbox`` (what an actor stands on), ``supervisor`` (owns
the machine), ``attempt`` and ``worker`` (run jobs), ``scribe`` (owns the files), ``feed`` (facts to whoever
watches), ``house`` (opens and closes it all).
"""
