"""Bytes of every message type as once put on the wire: an old process must understand a new one.

``<tag>.<number>.bin`` is one entry (a list of one message). The newest number of a type is what is
written today. After a deliberate, compatible change (a new last field with a default) run

    python -m tests.contract.golden

which adds the next number for every type whose bytes changed. Never edit or delete a file.
"""
