"""Exact metrics for notes of labelled lines, where the true facts are known.

A **claim** is a pair of label and value that a note states. A note is read line by line; blank lines are skipped. A
line `Label: value` states one claim; a line `Label: one; two` states one for each part between semicolons. The label is
what stands before the line's first colon, if white space or the line's end follows it; a bullet (`-` or `*`) before it
does not count. Any other line states one claim under the empty label, so that text beside the form is a claim that no
fact backs. Empty parts state nothing. Labels and values are compared without regard to case, to runs of white space and
to a full stop at the end. Claims form a set: saying a thing twice is one claim, and two values under one label are two.

All functions take the note's text and its true facts, rows of `slot` and `value`. Facts form a set in the same way.
Averaging over examples, each example counts once (a macro average).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

VERSION = 1
_LINE = re.compile(r"^\s*(?:[-*]\s+)?(?P<label>[^:]*):(?:\s+(?P<values>.*))?$")

Claim = tuple[str, str]


def normal(text: str) -> str:
    """The text in the form in which labels and values are compared."""
    return " ".join(text.casefold().split()).removesuffix(".").rstrip()


def claims(note: str) -> frozenset[Claim]:
    """All claims of a note."""
    pairs: set[Claim] = set()
    for line in note.splitlines():
        match = _LINE.match(line)
        label, values = (match["label"], match["values"] or "") if match else ("", line)
        pairs.update((normal(label), normal(part)) for part in (values.split(";") if match else [values]))
    return frozenset((label, value) for label, value in pairs if value)


def true_claims(facts: Iterable[Mapping[str, str]]) -> frozenset[Claim]:
    """The facts as claims."""
    return frozenset((normal(fact["slot"]), normal(fact["value"])) for fact in facts)


def fact_recall(note: str, facts: Iterable[Mapping[str, str]]) -> float:
    """Share of the true facts that the note states under their label; higher is better, from 0 to 1.

    stated true facts / true facts. Without any true fact it is 1.
    """
    true = true_claims(facts)
    return len(true & claims(note)) / len(true) if true else 1.0


def fabrications(note: str, facts: Iterable[Mapping[str, str]]) -> int:
    """Number of the note's claims that are no true facts; lower is better. A true value under a wrong label is one."""
    return len(claims(note) - true_claims(facts))


def omissions(note: str, facts: Iterable[Mapping[str, str]]) -> int:
    """Number of true facts that the note does not state under their label; lower is better."""
    return len(true_claims(facts) - claims(note))


def all_facts(note: str, facts: Iterable[Mapping[str, str]]) -> float:
    """1 when the note states every true fact and nothing else, else 0; higher is better."""
    return float(true_claims(facts) == claims(note))
