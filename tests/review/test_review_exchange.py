"""Votes out and in again, finished annotations, bundles and what comes back from them, preferences."""

from __future__ import annotations

import csv
import io
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from counted_votes import open_votes, pair_counts
from hypothesis import given, strategies as st
from review_samples import ARMS, PRACTICE, ballot, open_sample, person, shown, work

from harness import review
from harness.data.rows import read_file
from harness.errors import ReviewError
from harness.results.human import statistics
from harness.results.render.writers import from_spreadsheet, spreadsheet_cell
from harness.review import exchange
from harness.review.plan import Design
from harness.store import Store


def careful(item: Any) -> str:
    return "left" if "answer A" in item.left else "right"


def test_a_bundle_holds_no_arm_and_no_kind_and_its_votes_come_back_once(
    store: Store, other: Store, tmp_path: Path
) -> None:
    open_sample(store, Design(3, 2, 2, gold=1, identical=1, repeats=1), practice=PRACTICE)
    links = {name: review.invite(store, "r1", name) for name in ("Ann", "Bo")}
    folder = tmp_path / "bundle"
    assert review.write_bundle(store, "r1", folder) == 12
    text = "".join(path.read_text() for path in sorted(folder.iterdir()))
    for word in ("canary", "987654321987", "gold", "identical", "repeat", "eval", '"kind"', '"seed"', *links.values()):
        assert word not in text, word
    assert "canary-experiment" in store.journal_path.read_text()  # the search would find it
    there = review.load_bundle(other, folder)
    assert review.load_bundle(other, folder) == there and len(review.rounds(other)) == 1
    for link in links.values():
        who = review.authenticate(other, link)
        assert who is not None and work(other, who, lambda item: "tie" if item.practice else careful(item)) == 7
    with pytest.raises(ReviewError, match="does not know the arms"):
        review.unblind(other, "r1", "owner", "curious")
    end = review.next_item(other, who)
    review.guess(other, who, end.question.token, "left")  # type: ignore[union-attr]
    done = exchange.import_file(store, other.journal_path, "owner")
    assert (done.round, done.new, done.already_stored) == ("r1", 12, 0)
    again = exchange.import_file(store, other.journal_path, "owner")
    assert (again.new, again.already_stored) == (0, 12)
    status = review.status(store, "r1")
    assert status.votes == status.wanted == 6 and [rater.done for rater in status.raters] == [6, 6]
    review.unblind(store, "r1", "owner", "all votes are in")
    (count,) = pair_counts(open_votes(review.round_votes(store, "r1")), ARMS)
    assert (count.wins, count.losses) == (6, 0)
    assert statistics.blinding(review.round_votes(store, "r1")).estimate is not None


def test_what_was_judged_before_is_not_in_the_bundle(store: Store, other: Store, tmp_path: Path) -> None:
    open_sample(store, Design(6, 1, 1))
    ann = person(store)
    item = shown(review.next_item(store, ann))
    review.vote(store, ann, ballot(item))
    assert review.write_bundle(store, "r1", tmp_path / "b") == 5
    assert item.token not in (tmp_path / "b" / "items.jsonl").read_text()
    with pytest.raises(ReviewError, match="not an empty folder"):
        review.write_bundle(store, "r1", tmp_path / "b")
    open_sample(store, sensitive=True, id="r2")
    with pytest.raises(ReviewError, match="sensitive"):
        review.write_bundle(store, "r2", tmp_path / "c")
    review.close(store, "r1", "owner")
    with pytest.raises(ReviewError, match="is closed"):
        review.write_bundle(store, "r1", tmp_path / "c")
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("items.jsonl", lambda text: text[:-40], "was changed or cut short"),
        ("items.jsonl", lambda text: text.replace("answer A", "answer Z", 1), "was changed or cut short"),
        ("bundle.json", lambda text: text[:-5], "no JSON"),
        ("bundle.json", lambda text: text.replace("bundle/1", "bundle/9"), "is no harness.review-bundle/1"),
        ("bundle.json", lambda text: text.replace('"render": "text"', '"render": "html"'), "render: must be text or"),
        ("bundle.json", lambda text: text.replace('"raters": 2', '"raters": "2"'), "raters: has the wrong type"),
        ("bundle.json", lambda text: text.replace('"flags"', '"arm": 1, "flags"'), "arm: missing, or not a field"),
    ],
)
def test_a_bundle_that_was_touched_is_refused(
    store: Store, other: Store, tmp_path: Path, file: str, change: Any, message: str
) -> None:
    open_sample(store)
    review.write_bundle(store, "r1", tmp_path / "b")
    path = tmp_path / "b" / file
    before = path.read_text()
    path.write_text(change(before))
    assert path.read_text() != before
    with pytest.raises(ReviewError, match=message) as caught:
        review.load_bundle(other, tmp_path / "b")
    assert "\n" not in str(caught.value) and review.rounds(other) == []


def test_items_of_a_bundle_are_checked_one_by_one(store: Store, other: Store, tmp_path: Path) -> None:
    import hashlib

    open_sample(store)
    review.write_bundle(store, "r1", tmp_path / "b")
    about, items = tmp_path / "b" / "bundle.json", tmp_path / "b" / "items.jsonl"
    first, rest = items.read_text().split("\n", 1)
    for change, message in (
        ({"token": "short"}, r"items.jsonl:1: token: is no token"),
        ({"arm": "canary"}, r"items.jsonl:1: must hold"),
        ({"queue": -1}, r"items.jsonl:1: queue: must be a whole number"),
        ({"left": 5}, r"items.jsonl:1: left: must be a text"),
        ({"token": json.loads(rest.split("\n")[0])["token"]}, "missing or doubled"),
    ):
        items.write_text(json.dumps(json.loads(first) | change) + "\n" + rest)
        plain = json.loads(about.read_text())
        plain["items_sha256"] = hashlib.sha256(items.read_bytes()).hexdigest()
        about.write_text(json.dumps(plain))
        with pytest.raises(ReviewError, match=message):
            review.load_bundle(other, tmp_path / "b")


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_exported_votes_are_imported_elsewhere_and_again(store: Store, other: Store, tmp_path: Path, form: str) -> None:
    open_sample(store, Design(4, 1, 1))
    ann = person(store)
    item = shown(review.next_item(store, ann))
    more = {"flags": ("right:fabrication",), "criteria": {"correctness": "tie"}, "comment": 'she said "no",\nand left'}
    review.vote(store, ann, ballot(item, "tie", **more))
    work(store, ann, careful)
    rows = exchange.vote_rows(review.round_votes(store, "r1"))
    text = exchange.as_csv(rows, False) if form == "csv" else exchange.as_jsonl(rows)
    assert "canary" not in text and len(rows) == 4
    path = tmp_path / f"votes.{form}"
    path.write_text(text)
    assert exchange.import_file(store, path, "owner").new == 0
    _copy_round(store, other)
    done = exchange.import_file(other, path, "owner")
    assert (done.new, done.already_stored) == (4, 0) and exchange.import_file(other, path, "owner").already_stored == 4
    assert other.judgments() == store.judgments()


def _copy_round(store: Store, target: Store) -> None:
    """The round, its assignments and its people, without votes."""
    from harness.records import Assignment, Invitation, ReviewText, Round

    with store.session() as session:
        kinds = (Round, Assignment, ReviewText, Invitation)
        found = [record for kind in kinds for record in session.read(kind)]
    with target.session() as session:
        session.write(*found)


def test_bad_rows_are_named_by_file_and_line_and_nothing_is_taken_in(store: Store, tmp_path: Path) -> None:
    _, plan = open_sample(store, Design(6, 1, 1))
    person(store)
    rows = [{"token": a.token, "rater": "Ann", "winner": "left"} for a in plan]
    rows[1]["winner"] = "best"
    rows[2]["rater"] = "Eve"
    rows[3]["token"] = "made-up"
    rows[4]["seconds"] = "soon"
    path = tmp_path / "votes.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(ReviewError) as caught:
        exchange.import_file(store, path, "owner")
    text = str(caught.value)
    assert "votes.jsonl:2: 'best' is no choice" in text and "votes.jsonl:3: 'Eve' is not invited" in text
    assert "votes.jsonl:4: no item of the round r1 has the token 'made-up'" in text and "and 1 more" in text
    assert "\n" not in text and store.judgments() == []
    path.write_text(path.read_text() + "{half a line")
    with pytest.raises(Exception, match=r"votes.jsonl:7"):
        exchange.import_file(store, path, "owner")


def test_votes_that_were_cast_after_closing_are_refused(store: Store, tmp_path: Path) -> None:
    _, plan = open_sample(store)
    person(store)
    there = review.close(store, "r1", "owner")
    assert there.closed is not None
    path = tmp_path / "votes.jsonl"
    row = {"token": plan[0].token, "rater": "Ann", "winner": "left", "when": "2999-01-01T00:00:00+00:00"}
    path.write_text(json.dumps(row))
    with pytest.raises(ReviewError, match="was closed at"):
        exchange.import_file(store, path, "owner")
    path.write_text(json.dumps(row | {"when": "2020-01-01T00:00:00+00:00"}))
    assert exchange.import_file(store, path, "owner").new == 1
    review.unblind(store, "r1", "owner", "done")
    assert exchange.import_file(store, path, "owner").already_stored == 1


ANNOTATIONS = """example,left,right,rater,winner,seconds
q1,gpt,llama,ann,left,3
q1,llama,gpt,bo,right,4.5
q2,gpt,mistral,ann,TIE,2
q3,mistral,llama,bo,both_bad,
"""


def test_a_finished_annotation_file_is_a_closed_unblinded_round(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "done.csv"
    path.write_text(ANNOTATIONS)
    done = exchange.import_file(store, path, "owner")
    assert (done.new, done.already_stored) == (4, 0)
    assert exchange.import_file(store, path, "owner") == exchange.Imported(done.round, 0, 4)
    found = review.round_votes(store, done.round)
    assert found.round.arms == ("gpt", "llama", "mistral") and found.round.unblinded is not None
    counts = pair_counts(open_votes(found), found.round.arms)
    assert [(c.first, c.second, c.wins, c.losses, c.ties) for c in counts] == [
        ("gpt", "llama", 2, 0, 0),
        ("gpt", "mistral", 0, 0, 1),
        ("llama", "mistral", 0, 0, 1),
    ]
    with pytest.raises(ReviewError, match="came without texts"):
        exchange.preferences(store, found)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("q1,gpt,gpt,ann,left,1", "done.csv:2: left and right are the same arm"),
        ("q1,gpt,,ann,left,1", "done.csv:2: right is empty"),
        ("q1,gpt,llama,ann,first,1", "done.csv:2: 'first' is no choice"),
        ("q1,gpt,llama,ann,left,-1", "done.csv:2: seconds must be a number from 0"),
    ],
)
def test_a_bad_annotation_is_named_by_its_line(store: Store, tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "done.csv"
    path.write_text(ANNOTATIONS.splitlines()[0] + "\n" + line + "\n")
    with pytest.raises(ReviewError) as caught:
        exchange.import_file(store, path, "owner")
    assert message in str(caught.value) and review.rounds(store) == []
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ReviewError, match="Votes on a round have token"):
        exchange.import_file(store, path, "owner")


def test_a_vote_that_stands_in_a_file_twice_counts_once(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "done.csv"
    path.write_text(ANNOTATIONS + "q1,llama,gpt,bo,right,4.5\n" + "q1,gpt,llama,bo,left,\n")  # sides changed
    done = exchange.import_file(store, path, "owner")
    assert (done.new, done.already_stored) == (4, 0) and "2 lines repeat" in done.messages[0]
    assert len(open_votes(review.round_votes(store, done.round))) == 4
    path.write_text(ANNOTATIONS + "q1,gpt,llama,bo,right,\n")
    with pytest.raises(ReviewError, match=r"done.csv:6: bo voted for gpt on this pair in line 3"):
        exchange.import_file(store, path, "owner")


def test_generated_annotation_files_count_as_a_plain_count_does(store: Store, tmp_path: Path) -> None:
    """200 files with repeated, turned and contradicting lines."""
    rng = random.Random(2)
    outcomes = Counter[str]()
    for number in range(200):
        lines, votes, contradiction = ["example,left,right,rater,winner"], {}, False
        for _ in range(rng.randint(2, 9)):
            example, rater = f"q{rng.randint(1, 3)}", rng.choice(["ann", "bo"])
            left, right = rng.sample(["gpt", "llama"], 2)
            winner = rng.choice(["left", "right", "tie"])
            if (example, rater) in votes and rng.random() < 0.9:
                winner = {left: "left", right: "right"}.get(votes[example, rater], "tie")
            chosen = {"left": left, "right": right}.get(winner, "tie")
            contradiction |= votes.setdefault((example, rater), chosen) != chosen
            lines.append(f"{example},{left},{right},{rater},{winner}")
        path = tmp_path / f"{number}.csv"
        path.write_text("\n".join(lines) + "\n")
        if contradiction:
            outcomes["refused"] += 1
            with pytest.raises(ReviewError, match="on this pair in"):
                exchange.once(read_file(path))
            continue
        outcomes["taken"] += 1
        assert len(exchange.once(read_file(path))) == len(votes)
        if outcomes["taken"] <= 10:
            done = exchange.import_file(store, path, "owner")
            assert done.new + done.already_stored == len(votes)
    assert min(outcomes["refused"], outcomes["taken"]) > 20


def test_two_votes_under_one_token_are_refused(store: Store, tmp_path: Path) -> None:
    _, plan = open_sample(store, Design(2, 1, 1))
    person(store, "Ann")
    token = plan[0].token
    path = tmp_path / "votes.csv"
    path.write_text(f"token,rater,winner\n{token},Ann,left\n{token},Ann,right\n")
    with pytest.raises(ReviewError, match=r"votes.csv:3 votes otherwise than line 2"):
        exchange.import_file(store, path, "owner")
    path.write_text(f"token,rater,winner\n{token},Ann,left\n{token},Ann,left\n")
    assert exchange.import_file(store, path, "owner").new == 1
    path.write_text(f"token,rater,winner\n{token},Ann,right\n")
    with pytest.raises(ReviewError, match="the store has left under this token, and this says right"):
        exchange.import_file(store, path, "owner")
    path.write_text(f"token,rater,winner,revision\n{token},Ann,right,2\n")
    assert exchange.import_file(store, path, "owner").new == 1


@given(st.text(alphabet="=+-@'\t\ra1", max_size=6))
def test_no_exported_cell_is_a_formula_and_each_comes_back(text: str) -> None:
    cell = str(spreadsheet_cell(text))
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert from_spreadsheet(cell) == text


def test_comments_leave_as_text_and_come_back(store: Store, other: Store, tmp_path: Path) -> None:
    row = {"token": "t", "rater": "-Ann", "winner": "left", "comment": '=HYPERLINK("http://x")', "seconds": -0.5}
    table = exchange.as_csv([row], False)
    [cells] = csv.DictReader(io.StringIO(table))
    assert cells["comment"] == "'" + row["comment"] and cells["rater"] == "'-Ann" and cells["seconds"] == "-0.5"


def test_an_unblinded_export_is_an_annotation_file(store: Store, other: Store, tmp_path: Path) -> None:
    open_sample(store, Design(3, 2, 2, gold=1))
    for name in ("Ann", "Bo"):
        work(store, person(store, name), careful)
    review.unblind(store, "r1", "owner", "done")
    found = review.round_votes(store, "r1")
    rows = exchange.vote_rows(found)
    table = list(csv.DictReader(io.StringIO(exchange.as_csv(rows, True))))
    assert len(table) == len(rows) == 8 and {row["kind"] for row in table} == {"ordinary", "gold"}
    plain = [{k: row[k] for k in exchange.ANNOTATION} for row in rows if row["kind"] == "ordinary"]
    path = tmp_path / "again.jsonl"
    path.write_text(exchange.as_jsonl(plain))
    done = exchange.import_file(other, path, "owner")
    copied = review.round_votes(other, done.round)
    assert pair_counts(open_votes(copied), ARMS) == pair_counts(open_votes(found), ARMS)


def test_preferences_are_what_most_raters_preferred(store: Store) -> None:
    """Ann and Bo prefer A, Cy prefers B, and everybody calls one example a tie."""
    _, plan = open_sample(store, Design(3, 3, 3))
    tied = min(a.example for a in plan)

    def choose(item: Any, turned: bool) -> str:
        if item.prompt == f"prompt of {tied}":
            return "tie"
        return "left" if ("answer A" in item.left) != turned else "right"

    for name in ("Ann", "Bo", "Cy"):
        turned = name == "Cy"
        work(store, person(store, name), lambda item, turned=turned: choose(item, turned))
    with pytest.raises(ReviewError, match="not unblinded"):
        exchange.preferences(store, review.round_votes(store, "r1"))
    review.unblind(store, "r1", "owner", "done")
    found = review.round_votes(store, "r1")
    rows = exchange.preferences(store, found)
    assert len(rows) == 2
    for row in rows:
        assert row["chosen"].startswith("answer A") and row["rejected"].startswith("answer B")
        assert row["margin"] == pytest.approx(1 / 3) and row["prompt"].startswith("prompt of x")
        assert row["provenance"]["votes"] == {"chosen": 2, "rejected": 1, "tie": 0}
        assert row["provenance"]["chosen_arm"] == "canary-full" and row["provenance"]["split"] == "validation"
    without = exchange.preferences(store, found, without=("Cy",))
    assert [row["margin"] for row in without] == [1.0] * 2
    with pytest.raises(ReviewError, match="the declared rule leaves out Ann, Bo, Cy"):
        exchange.preferences(store, found, without=("Ann", "Bo", "Cy"))


def test_preferences_of_the_test_split_and_of_sensitive_data_are_refused(store: Store) -> None:
    open_sample(store, Design(1, 1, 1), split="test")
    open_sample(store, Design(1, 1, 1), sensitive=True, id="r2")
    for name in ("r1", "r2"):
        work(store, person(store, "Ann", name), careful)
        review.unblind(store, name, "owner", "done")
    with pytest.raises(ReviewError, match=r"over the test split.*--split validation"):
        exchange.preferences(store, review.round_votes(store, "r1"))
    with pytest.raises(ReviewError, match="sensitive"):
        exchange.preferences(store, review.round_votes(store, "r2"))
