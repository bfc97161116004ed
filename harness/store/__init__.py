"""The store of a home folder: one DuckDB file with append-only tables, and a journal of votes beside it."""

from harness.store.store import Store

__all__ = ["Store"]
