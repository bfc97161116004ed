"""Whether an arm may begin now, as far as memory goes. An estimate is no proof: an arm may wait for it, never fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from harness import environment

Decision = Literal["start", "wait", "start_anyway"]
"""`start_anyway`: it does not fit, and waiting would not help, because nothing runs that could end."""


@dataclass(frozen=True, slots=True)
class Occupant:
    """A worker at work: the bytes that it is expected to need at its peak, and those that it holds now."""

    need: int | None
    used: int


@dataclass(frozen=True, slots=True)
class Memory:
    """What is known of the memory that arms need and of what there is. Devices go by their identifier, None is main
    memory."""

    needs: Mapping[str, int]
    """`train_id` → expected peak of the process (on an accelerator: of the device) in bytes."""
    free: Callable[[str | None], int | None] = environment.free_memory
    """Device → bytes that can be had there now; None where that is not known."""
    used: Callable[[int, str | None], int] = environment.used_memory
    """Process id and device → bytes that the process holds there."""


def room(free: int, running: Sequence[Occupant], own: int = 0) -> int:
    """Bytes for one more arm: what is `free` less what those that run will still take.

    `own` is what the process that would take the arm holds already, libraries for instance.
    """
    return free + own - sum(max(0, (occupant.need or 0) - occupant.used) for occupant in running)


def decide(need: int | None, free: int | None, running: Sequence[Occupant], own: int = 0) -> Decision:
    """What to do with an arm of which `need` bytes are expected, beside those `running` in the same memory.

    What is not known holds nobody back.
    """
    if need is None or free is None or need <= room(free, running, own):
        return "start"
    return "wait" if running else "start_anyway"


def note(name: str, need: int, room: int) -> str:
    """One line about an arm that begins although it is not expected to fit."""
    return (
        f"{name}: expected to need {gigabytes(need)} of memory, {gigabytes(max(0, room))} can be had; started anyway, "
        "alone"
    )


def gigabytes(size: int) -> str:
    """`1.5 GB`."""
    return f"{size / 1e9:.1f} GB"
