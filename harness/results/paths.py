"""Paths of the machine that made a result are nobody else's business: what is handed on has their last part alone."""

from __future__ import annotations

import re

_PATH = re.compile(r"(?<![\w.:/~\\-])(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\'\"():,;]+[/\\])+(?P<last>[^\s/\\'\"():,;]*)")


def without_paths(text: str) -> str:
    """`text` with absolute paths reduced to their last part."""
    return _PATH.sub(lambda match: match["last"] or "…", text)
