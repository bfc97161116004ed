"""How far a review round is: the database's counts against those of plain loops over the records."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from harness.records import Assignment, Judgment
from harness.results.human.votes import standing
from harness.store import Store

RATERS = ("Ann", "Bo", "Cy")


def history(rng: random.Random) -> tuple[list[Assignment], list[Judgment]]:
    """Assignments of two rounds, and votes on them that were revised, skipped, taken back and given by others."""
    pairs = [
        Assignment(f"t{n}", rng.choice(["r1", "r1", "r2"]), rng.choice(["ordinary", "gold", "practice", "automatic"]),
                   f"i{n}", f"x{n}", "a", "b", rng.choice([None, 0, 1, 2]), n)
        for n in range(40)
    ]  # fmt: skip
    votes = []
    for number in range(rng.randrange(60)):
        pair = rng.choice(pairs)
        revision = 1 + sum(vote.assignment == pair.token for vote in votes)
        winner = rng.choice(["left", "right", "tie", "both_bad", "skip", "undone"])
        when = f"2026-01-01T00:{number:02}:00+00:00"
        votes.append(Judgment(f"v{number}", pair.token, revision, rng.choice(RATERS), winner, 1.0, when))  # type: ignore[arg-type]
    return pairs, votes


@pytest.mark.parametrize("seed", range(8))
def test_counts_are_those_of_the_records(tmp_path: Path, seed: int) -> None:
    pairs, votes = history(random.Random(seed))
    store = Store(tmp_path / "harness.duckdb")
    with store.session() as session:
        session.write(*pairs)
        if votes:
            session.write(*votes)
    last = standing(votes)
    mine = [pair for pair in pairs if pair.round == "r1"]
    expected = Counter(
        (pair.kind, pair.queue, *((vote.rater, vote.winner) if (vote := last.get(pair.token)) else (None, None)))
        for pair in mine
    )
    found = store.tally("r1")
    assert Counter({row[:4]: row.number for row in found.standing}) == expected
    tokens = {pair.token for pair in mine}
    when: dict[str, str] = {}
    for vote in votes:
        if vote.assignment in tokens:
            when[vote.rater] = max(vote.when, when.get(vote.rater, ""))
    assert found.last == when
    assert store.tally("none").standing == ()


@pytest.mark.parametrize("count", [1, 4, 5, 40])
def test_places_are_stored_as_they_are_and_rows_have_numbers_of_their_own(tmp_path: Path, count: int) -> None:
    """Few rows go in as parameters and many as a table; in neither is a record's own `place` taken for the row's."""
    pairs = [Assignment(f"t{n}", "r1", "ordinary", f"i{n}", f"x{n}", "a", "b", n % 2, 7) for n in range(count)]
    store = Store(tmp_path / "harness.duckdb")
    with store.session() as session:
        session.write(*pairs)
        assert session.read(Assignment, "round = $1", ["r1"]) == pairs
    with store._file.open() as cursor:
        numbers = [row[0] for row in cursor.execute("SELECT seq FROM assignments ORDER BY seq").fetchall()]
    assert numbers == list(range(1, count + 1))
