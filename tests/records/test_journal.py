"""A journal of JSON lines: what is whole is kept, what a crash cut short is not, and writing goes on behind it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.records.journal import Journal

WHOLE = b'{"a":1}\n{"a":2}\n'


@pytest.mark.parametrize("tail", [b'{"a":3}', b'{"a":', b"[1]\n", b"\xff\xfe\n", b"null\n", b'{"a":3}\x00'])
def test_the_last_line_counts_only_where_it_is_whole(tmp_path: Path, tail: bytes) -> None:
    journal = Journal(tmp_path / "j.jsonl")
    journal.path.write_bytes(WHOLE + tail)
    assert journal.recover() == [{"a": 1}, {"a": 2}]
    assert journal.path.read_bytes() == WHOLE
    journal.append({"a": 4})
    assert journal.recover() == [{"a": 1}, {"a": 2}, {"a": 4}]


def test_lines_after_one_that_is_not_valid_are_gone(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.jsonl")
    journal.path.write_bytes(WHOLE + b'{"b":1}\n{"a":3}\n')
    assert journal.recover(lambda place, row: "a" in row) == [{"a": 1}, {"a": 2}]
    assert journal.path.read_bytes() == WHOLE
