"""Documents that are scored beside the test split must not be trained on."""

from __future__ import annotations

import pytest

from harness.config import LeakageSpec
from harness.data.splits import against_documents
from harness.errors import LeakageError
from harness.records import Splits

LONG = "the quick brown fox jumps over the lazy dog while seven wise owls watch from the old oak tree by the river"
SPLITS = Splits(("a", "b"), ("c",), ("t",), (), (), "f")
TEXTS = {"a": LONG, "b": "something else entirely", "c": "What is the capital of France?", "t": "a test text"}
DOCUMENTS = {"quiz#0": LONG.replace("seven", "eight"), "quiz#1": "what is the capital of france", "quiz#2": "new"}


def test_a_trained_document_stops_the_run() -> None:
    with pytest.raises(LeakageError, match=r"2 pairs .* leak.*quiz#") as caught:
        against_documents(SPLITS, TEXTS, DOCUMENTS, None)
    assert {pair.dropped for pair in caught.value.pairs} == {"a", "c"}  # type: ignore[attr-defined]


def test_drop_removes_and_records_it() -> None:
    found = against_documents(SPLITS, TEXTS, DOCUMENTS, LeakageSpec(drop="train"))
    assert (found.train, found.validation, found.test) == (("b",), (), ("t",))
    assert [(leak.dropped, leak.kept, leak.reason) for leak in found.leaks] == [
        ("a", "quiz#0", "near-duplicate"),
        ("c", "quiz#1", "prompt"),
    ]
    assert found.fingerprint != SPLITS.fingerprint


def test_allow_records_and_keeps_it() -> None:
    found = against_documents(SPLITS, TEXTS, DOCUMENTS, LeakageSpec(allow="a public quiz"))
    assert found.train == SPLITS.train and len(found.leaks) == 2


def test_other_documents_change_nothing() -> None:
    assert against_documents(SPLITS, TEXTS, {"quiz#2": "new"}, None) is SPLITS
