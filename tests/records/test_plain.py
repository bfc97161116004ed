"""Records as plain JSON: the quick way gives what looking at every value gives."""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, strategies as st

from harness.config import ChatSpec
from harness.records import Likelihood, RetentionText, digest, from_json, to_json


class Side(enum.StrEnum):
    LEFT = "left"


def naive(record: Any) -> Any:
    """Every value looked at, as the docstring says."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {f.name: naive(getattr(record, f.name)) for f in dataclasses.fields(record)}
    if isinstance(record, Mapping):
        return {str(key): naive(value) for key, value in record.items()}
    if isinstance(record, (list, tuple)):
        return [naive(value) for value in record]
    if isinstance(record, frozenset):
        return sorted(naive(value) for value in record)
    return str(record) if isinstance(record, Path) else record


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
records = st.builds(
    Likelihood,
    st.text(max_size=5),
    st.text(max_size=5),
    st.text(max_size=5),
    st.integers(0, 9),
    st.just("target"),
    st.floats(allow_nan=False),
    st.integers(0, 99),
    st.integers(0, 99),
)
values = st.recursive(
    scalars | records | st.frozensets(st.integers(), max_size=4) | st.just(Path("a/b")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(values)
def test_quick_and_naive_are_the_same(value: Any) -> None:
    assert to_json(value) == naive(value)
    assert json.dumps(to_json(value)) == json.dumps(naive(value))


@given(records)
def test_there_and_back(record: Likelihood) -> None:
    assert from_json(Likelihood, json.loads(json.dumps(to_json(record)))) == record


def test_a_list_is_copied() -> None:
    numbers = [1, 2, 3]
    assert to_json(numbers) == numbers and to_json(numbers) is not numbers


def test_subclasses_of_plain_values_stay_what_they_are() -> None:
    found = to_json((Side.LEFT, np.float64(0.5), True))
    assert found == ["left", 0.5, True] and type(found[0]) is Side


def test_a_class_is_no_record_and_a_spec_says_itself_what_it_is() -> None:
    assert to_json(RetentionText) is RetentionText
    assert to_json([ChatSpec()]) == [ChatSpec().model_dump(mode="json")]


def test_digests_of_old_records_stay() -> None:
    known = Likelihood("e", "test", "i", 0, "target", -1.5, 3, 9)
    assert digest([known, (1, 2), {"b": Path("x"), "a": frozenset({"z", "y"})}]) == "5558950368cf6198"
