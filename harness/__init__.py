"""harness: which fine-tuning method to ship for a task, and whether a candidate is safe to release."""

__version__ = "0.1.0"
