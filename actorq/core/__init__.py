"""The core: no await, no clock, no disk, no log, no randomness. Time comes in as an argument.

To be read in this order: ``job`` (what a job is, and the table of its life), ``commands``, ``facts`` and
``effects`` (the three vocabularies), ``lifecycle`` (state and fact: state), ``heap``, ``ready`` (lanes by group),
``retry``, ``bitmap`` and ``index`` (who has what), ``ledger`` and ``picture`` (durable memory), ``roster`` (memory of
the living), ``intake`` (keys), ``letter`` (what is said of the dead), ``ending`` (how a run ends), ``verbs`` (what may
be asked of jobs), ``decide`` (the rules), ``machine`` (one step).
"""
