"""The store: bytes and files; no await, no decisions.

To be read in this order: ``files`` (what is asked of a disk), ``line`` and ``field`` (what a line is made of),
``journal_codec``, ``segment`` and ``journal`` (what has happened, written once), ``snapshot_codec`` and ``snapshot``
(what came of it, written and read whole), ``recovery`` (what to go on with at a start), ``compaction`` (the same, in
another process), ``salvage`` (the same, of what is damaged), ``inspection`` and ``spot`` (for those who only look).
"""
