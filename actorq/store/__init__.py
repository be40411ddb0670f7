"""The store: bytes and files; no await, no decisions.

To be read in this order: ``files`` (what is asked of a disk), ``codec`` (the format of a line),
``snapshot`` (one file, written and read whole), ``recovery`` (what to go on with at a start).
"""
