"""Everything that can go wrong and is not a bug, with the exit code a shell sees.

    HarnessError                    2   one clear line; never a traceback
    ├── UsageError                  2   the command line asks for something that cannot be
    ├── SpecError                   2   a file that a person wrote: names file, line, field and what to do
    ├── DataError                   2   a data source: names file, line or row and what to do
    │   └── LeakageError            2   the same text or group on both sides of a split; carries the pairs
    ├── ModelError                  2   a model folder, adapter or hub id that cannot be used
    ├── ArmFailed                   6   an arm's training or scoring ended without a result
    │   ├── Diverged                6   the loss is not a number or exploded
    │   └── OutOfMemory             6   the accelerator or the machine ran out of memory
    ├── StoreError                  2   the database file
    │   ├── NewerSchema             2   written by a newer harness
    │   ├── StoreLocked             5   another process holds the store
    │   └── NotRecorded             5   a gate's verdict was given and could not be stored
    ├── ReviewError                 2   blind review: what a round, a reviewer or a file of votes does not allow
    ├── DiskFull                   74   no space left
    └── Interrupted               130   Ctrl-C, SIGTERM or SIGHUP; what was finished is kept

A message says what is wrong and what to do about it, in one line; `hint` holds the way on.
"""

from __future__ import annotations

import errno
from pathlib import Path


class HarnessError(Exception):
    """Base of every error that a user can cause or mend."""

    exit_code = 2

    def __init__(self, message: str, *, hint: str = "") -> None:
        self.message = message
        self.hint = hint
        super().__init__(message)

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class UsageError(HarnessError):
    """The command line asks for something that cannot be."""


class SpecError(HarnessError):
    """A task, arm or experiment file is wrong.

    The text reads `FILE:LINE: FIELD: what is wrong. What to do`.
    """

    def __init__(
        self, message: str, *, file: Path | str = "", line: int | None = None, field: str = "", hint: str = ""
    ) -> None:
        self.file, self.line, self.field = str(file), line, field
        self.reason = message
        """What is wrong, without the place."""
        place = self.file + (f":{line}" if line else "")
        super().__init__(": ".join(part for part in (place, field, message) if part), hint=hint)


class DataError(HarnessError):
    """A data source cannot be read as the task says."""


class LeakageError(DataError):
    """The same text or group stands on both sides of a split; `pairs` holds the offenders (LeakagePair)."""

    def __init__(self, message: str, *, pairs: tuple[object, ...] = (), hint: str = "") -> None:
        self.pairs = pairs
        super().__init__(message, hint=hint)


class ModelError(HarnessError):
    """A model folder, adapter or hub id cannot be used."""


class ArmFailed(HarnessError):
    """An arm's training or scoring ended without a result; the other arms go on.

    `ledger` holds what was spent until then (Ledger), where the training got that far.
    """

    exit_code = 6

    def __init__(self, message: str, *, hint: str = "", ledger: object | None = None) -> None:
        self.ledger = ledger
        super().__init__(message, hint=hint)


class Diverged(ArmFailed):
    """The loss is not a number or exploded."""


class OutOfMemory(ArmFailed):
    """The accelerator or the machine ran out of memory."""


class StoreError(HarnessError):
    """The database file cannot be used."""


class NewerSchema(StoreError):
    """The database was written by a newer harness."""


class StoreLocked(StoreError):
    """Another process holds the store."""

    exit_code = 5


class NotRecorded(StoreError):
    """A gate's verdict was given, and the store could not take it: a pipeline must not go on."""

    exit_code = 5


class ReviewError(HarnessError):
    """What a round of review, a reviewer or a file of votes does not allow.

    Its text may be shown to a reviewer: it names no arm.
    """


NO_SPACE = ("no space left on device", "disk quota exceeded", "os error 28", "errno 28", "enospc")
"""How operating systems and the libraries of this stack say that a disk is full."""


def is_full_disk(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, is a full disk: not every library raises OSError for one."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if any(words in str(error).lower() for words in NO_SPACE):
            return True
        error = error.__cause__ or error.__context__
    return False


class DiskFull(HarnessError):
    """No space left on the device."""

    exit_code = 74


class Interrupted(HarnessError):
    """Stopped by Ctrl-C, SIGTERM or SIGHUP; finished work is kept."""

    exit_code = 130


def refuse_unknown(largest: int, embeddings: int) -> None:
    """Raise ModelError where the `largest` token of a text has none of the model's embeddings, which never grow."""
    if largest >= embeddings:
        raise ModelError(
            f"the tokenizer gives token {largest}, the model has {embeddings} embeddings",
            hint="Use the tokenizer that belongs to the base model; embeddings are never resized",
        )
