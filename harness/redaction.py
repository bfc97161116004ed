"""While a sensitive task's data is in hand, no error says what stands in it.

    with redaction.texts(task.sensitive):     # errors that leave from here quote neither values nor ids
        ...

Whoever composes a message asks `quoted` for a value of the data and `reason` for the words of somebody else's error.
The context holds for the whole process, threads too, because a message may be composed anywhere; an exception that
leaves it carries the mark `marked`, so that not even a traceback of a bug prints its words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

WITHHELD = "(withheld)"
SENSITIVE = "withheld: the task is sensitive"
_open: list[bool] = []


@contextmanager
def texts(sensitive: bool) -> Iterator[None]:
    """Within this context no message quotes the data; without `sensitive` nothing changes."""
    if not sensitive:
        yield
        return
    _open.append(True)
    try:
        yield
    except BaseException as error:
        error.__dict__["withheld"] = True
        raise
    finally:
        _open.pop()


def active() -> bool:
    """Whether the data in hand is sensitive."""
    return bool(_open)


def quoted(value: object) -> str:
    """A value of the data for a message: its `repr`, or nothing of it."""
    return WITHHELD if _open else repr(value)


def named(value: object) -> str:
    """The same for an id, as it is."""
    return WITHHELD if _open else str(value)


def reason(error: BaseException, words: str) -> str:
    """What somebody else's error says (`words`), or its kind alone."""
    return reason_of(error) if _open else words


def reason_of(error: BaseException) -> str:
    """The kind of an error without what it says."""
    return f"{type(error).__name__} ({SENSITIVE})"


def marked(error: BaseException) -> bool:
    """Whether an exception rose while sensitive data was in hand."""
    return bool(error.__dict__.get("withheld"))


_PATH = re.compile(r"(?<![\w.:/~\\-])(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\'\"():,;]+[/\\])+(?P<last>[^\s/\\'\"():,;]*)")


def without_paths(text: str) -> str:
    """`text` with absolute paths of the machine, which are nobody else's business, reduced to their last part."""
    return _PATH.sub(lambda match: match["last"] or "…", text)
