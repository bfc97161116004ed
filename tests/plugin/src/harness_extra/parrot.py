"""A method that repeats: the toy arm under a name and with a field of its own."""

from typing import Literal

from harness.arms.toy import load, train
from harness.config import ToySpec

VERSION = 3


class Spec(ToySpec):
    """Repeats what it was asked."""

    method: Literal["parrot"]  # type: ignore[assignment]
    """`parrot`."""
    feathers: int = 7
    """How many feathers it has."""


__all__ = ["VERSION", "Spec", "load", "train"]
