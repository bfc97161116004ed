"""Imported by the process that workers are forked from, before the first of them (see forking.py)."""

from harness import arms
from harness.experiments.running.executors import processes

arms.import_all(arms.TRAINING)

__all__ = ["processes"]
