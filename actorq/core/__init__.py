"""The core: no await, no clock, no disk, no log, no randomness. Time comes in as an argument.

To be read in this order: ``job`` (what a job is, and the table of its life), ``commands``, ``facts`` and
``effects`` (the three vocabularies), ``heap``, ``retry``, ``ledger`` and ``picture`` (durable memory),
``roster`` (memory of the living), ``decide`` (the rules), ``machine`` (one step).
"""
