"""Readers of recorded public outputs: one module a family of sources, each gives rows for the records that ship.

A row is a dict with `node` and any of `columns.RECORD_COLUMNS` but capability (the tree's task table has it); texts
stay behind: what leaves are digests, numbers and labels.
"""
