"""Two texts word by word: what both have, what only one has."""

from __future__ import annotations

import difflib
import re
from typing import Literal

Kind = Literal["both", "own"]
Piece = tuple[Kind, str]

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")


def word_diff(a: str, b: str) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """Both texts cut into pieces that the other has in the same order (`both`) or lacks (`own`).

    Joining the pieces of a side gives its text again. Longest matching blocks of words, punctuation marks and runs of
    white space (Ratcliff & Metzener 1988, as difflib has it).
    """
    ours, theirs = _WORDS.findall(a), _WORDS.findall(b)
    left: list[Piece] = []
    right: list[Piece] = []
    for operation, i, j, k, m in difflib.SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
        kind: Kind = "both" if operation == "equal" else "own"
        if i < j:
            left.append((kind, "".join(ours[i:j])))
        if k < m:
            right.append((kind, "".join(theirs[k:m])))
    return tuple(left), tuple(right)
