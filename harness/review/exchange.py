"""Exports votes as csv, jsonl or preference pairs, and imports votes and annotations that were made elsewhere."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.config.documents import shown
from harness.data import rows
from harness.data.rows import Row
from harness.errors import ReviewError
from harness.records import (
    Assignment,
    ExclusionRule,
    Guess,
    Invitation,
    Judgment,
    ReviewText,
    Round,
    Stamp,
    digest,
    to_json,
)
from harness.results.human.votes import RoundVotes, require_unblinded
from harness.results.render.writers import from_spreadsheet, spreadsheet_cell
from harness.review.blind import CHOICES, iso, utc_now
from harness.review.bundles import VOTES
from harness.review.desk import AMONG
from harness.review.lifecycle import round_of
from harness.store import journal

if TYPE_CHECKING:
    from harness.store import Store
    from harness.store.session import Session

BLIND_COLUMNS = (
    "token", "rater", "winner", "seconds", "when", "revision", "id", "flags", "criteria", "comment"
)  # fmt: skip
OPEN_COLUMNS = (*BLIND_COLUMNS, "kind", "example", "left", "right")
ANNOTATION = ("example", "left", "right", "rater", "winner")
"""Columns of a finished annotation file."""
SHOWN_PROBLEMS = 3


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did."""

    round: str
    new: int
    already_stored: int
    """Votes that the store had before."""
    messages: tuple[str, ...] = ()


def vote_rows(round_votes: RoundVotes) -> list[dict[str, Any]]:
    """Standing votes, skips too, as plain rows; with arms, kinds and examples only once the round is unblinded."""
    arm = {source: name for name, source in round_votes.round.evaluations.items()}
    rows_ = []
    for a in round_votes.assignments:
        vote = round_votes.votes.get(a.token)
        if vote is None or vote.winner == "undone" or a.kind == "practice":
            continue
        plain = {"token": a.token, **to_json(vote), "comment": None if round_votes.round.sensitive else vote.comment}
        row = {name: plain[name] for name in BLIND_COLUMNS}
        if round_votes.round.unblinded is not None:
            left, right = arm.get(a.left, a.left), arm.get(a.right, a.right)
            shown = digest([round_votes.round.id, a.example]) if round_votes.round.sensitive else a.example
            row |= {"kind": a.kind, "example": shown, "left": left, "right": right}
        rows_.append(row)
    return rows_


def as_jsonl(votes: Sequence[Mapping[str, Any]]) -> str:
    """One JSON object a line."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in votes)


def as_csv(votes: Sequence[Mapping[str, Any]], unblinded: bool) -> str:
    """Comma-separated, lists and mappings as JSON, nothing as an empty cell."""
    out = io.StringIO()
    table = csv.DictWriter(out, OPEN_COLUMNS if unblinded else BLIND_COLUMNS, lineterminator="\n")
    table.writeheader()
    for row in votes:
        cells = {name: json.dumps(value) if isinstance(value, (list, dict)) else value for name, value in row.items()}
        table.writerow({name: spreadsheet_cell(value) for name, value in cells.items()})
    return out.getvalue()


def preferences(store: Store, round_votes: RoundVotes, *, without: Sequence[str] = ()) -> list[dict[str, Any]]:
    """A pair for every item that more raters decided one way than the other; ties and both-bad decide nothing.

    `margin` is (votes for chosen - votes for rejected) / votes, ties included, in (0, 1]. A conversation comes in
    TRL's conversational form. Raises ReviewError before unblinding, for a round over the test split (what is trained on
    it could not be measured on it any more), for sensitive data, and where nothing was preferred.
    """
    round_ = round_votes.round
    require_unblinded(round_)
    if round_.split == "test":
        raise ReviewError(
            f"the round {round_.id} is over the test split, and no arm may be trained on that",
            hint="Open a round over other prompts: `harness review open EXPERIMENT.yaml --split validation`",
        )
    if round_.sensitive:
        raise ReviewError("the task is sensitive: no text of it leaves the store", hint="Export votes-csv has no text")
    with store.session() as session:
        texts = {(t.example, t.source): t.text for t in session.read(ReviewText, "round = $1", [round_.id])}
    if not texts:
        raise ReviewError(f"the round {round_.id} came without texts, so there is nothing to prefer")
    by_item: dict[str, list[tuple[Assignment, str]]] = defaultdict(list)
    for a, vote in round_votes.judged("ordinary"):
        if vote.rater not in without:
            by_item[a.item].append((a, {"left": a.left, "right": a.right}.get(vote.winner, "")))
    rows = [row for votes in by_item.values() if (row := _pair(round_votes, votes, texts)) is not None]
    if not rows:
        left_out = f"the declared rule leaves out {', '.join(sorted(without))}; --all-raters takes their votes too"
        hint = left_out if without else "More votes are needed"
        raise ReviewError(f"no answer was preferred in the round {round_.id}", hint=hint)
    return rows


def _pair(
    round_votes: RoundVotes, votes: Sequence[tuple[Assignment, str]], texts: dict[tuple[str, str], str]
) -> dict[str, Any] | None:
    round_, first = round_votes.round, votes[0][0]
    counts = Counter(source for _, source in votes)
    better, worse = sorted((first.left, first.right), key=lambda source: -counts[source])
    if counts[better] == counts[worse]:
        return None
    arm = {source: name for name, source in round_.evaluations.items()}
    turns = texts.get((first.example, "turns"))
    chosen, rejected = texts[first.example, better], texts[first.example, worse]

    def answer(text: str) -> Any:
        return text if turns is None else [{"role": "assistant", "content": text}]

    return {
        "prompt": texts[first.example, "prompt"] if turns is None else json.loads(turns),
        "chosen": answer(chosen),
        "rejected": answer(rejected),
        "margin": (counts[better] - counts[worse]) / len(votes),
        "provenance": {
            "round": round_.id,
            "experiment": round_.experiment,
            "split": round_.split,
            "example": first.example,
            "chosen_arm": arm[better],
            "rejected_arm": arm[worse],
            "votes": {"chosen": counts[better], "rejected": counts[worse], "tie": counts[""]},
        },
    }


def import_file(store: Store, path: Path, who: str) -> Imported:
    """Take in votes on a round of this store, or a finished annotation file as a round of its own; idempotent.

    Columns `token`, `rater` and `winner` (and what `vote_rows` has beside them) make votes; so does the journal that a
    store elsewhere wrote (`*.journal.jsonl`), or the folder of a bundle that was served. Columns `example`, `left`,
    `right`, `rater` and `winner` make a round that is closed and unblinded. Everything is taken in or nothing: raises
    ReviewError naming the file's bad lines.
    """
    if path.is_dir():  # a bundle that was served
        path = next(iter(sorted((path / VOTES).glob("*.journal.jsonl"))), path)
        if path.is_dir():
            hint = "`harness review serve` keeps them there; without it, give a csv or jsonl file of votes"
            raise ReviewError(f"{path} holds no votes yet", hint=hint)
    if not path.is_file():
        raise ReviewError(f"no such file: {path}", hint="Give a csv or jsonl file of votes")
    if path.name.endswith(".journal.jsonl"):
        votes, others, problems = journal.read(path)
        return _take_in(store, [(shown(path), vote) for vote in votes], others, problems)
    file_rows = rows.read_file(path)
    if {".csv", ".tsv"} & set(path.suffixes):
        file_rows = [replace(row, values={k: from_spreadsheet(v) for k, v in row.values.items()}) for row in file_rows]
    columns = {name for row in file_rows for name in row.values}
    if {"token", "rater", "winner"} <= columns:
        located = [(row.where, vote) for row in file_rows if (vote := _vote_of(row)) is not None]
        return _take_in(store, located, [], [])
    if set(ANNOTATION) <= columns:
        return _annotations(store, file_rows, who, path)
    raise ReviewError(
        f"{shown(path)}: has the columns {', '.join(sorted(columns)) or '(none)'}",
        hint="Votes on a round have token, rater and winner; a finished annotation file example, left, right, rater "
        "and winner",
    )


def _vote_of(row: Row) -> Judgment:
    """The vote in a row, its values not yet checked."""
    values = row.values
    token, rater, revision = str(values.get("token") or ""), str(values.get("rater") or ""), values.get("revision")
    number = _number(revision, 1)
    return Judgment(
        id=str(values.get("id") or digest(["import", token, rater, revision])),
        assignment=token,
        revision=int(number) if number is not None and number == int(number) else 0,
        rater=rater,
        winner=str(values.get("winner") or "").strip().lower(),  # type: ignore[arg-type]
        seconds=seconds if (seconds := _number(values.get("seconds"), 0.0)) is not None else -1.0,
        when=str(values.get("when") or ""),
        flags=tuple(map(str, _json(values.get("flags"), []))),
        comment=str(values["comment"]) if values.get("comment") else None,
        criteria={str(k): str(v) for k, v in dict(_json(values.get("criteria"), {})).items()},
    )


def _number(value: Any, default: float) -> float | None:
    if value is None or value == "":
        return default
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _json(value: Any, default: Any) -> Any:
    if isinstance(value, type(default)):
        return value
    try:
        parsed = json.loads(value) if value else default
    except (TypeError, ValueError):
        parsed = None
    return parsed if isinstance(parsed, type(default)) else default


def _take_in(
    store: Store, located: Sequence[tuple[str, Judgment]], others: Sequence[Any], problems: Sequence[str]
) -> Imported:
    """Votes, and what a store elsewhere recorded beside them: who took which queue, closing guesses."""
    practice = {a.token for a in others if isinstance(a, Assignment) and a.kind == "practice"}
    judged = [(where, vote) for where, vote in located if vote.assignment not in practice]
    with store.session() as session:
        pairs = session.read(Assignment, f"token {AMONG}", [[vote.assignment for _, vote in judged]])
        of_token = {a.token: a for a in pairs}
        rounds = sorted({a.round for a in pairs})
        if len(rounds) != 1:
            raise ReviewError(
                "these votes are on no round of this store" if not rounds else "these votes are on several rounds",
                hint="Import them where the round was opened, a file for each round",
            )
        round_ = round_of(session, rounds[0])
        people = {person.name: person for person in session.read(Invitation, "round = $1", [round_.id])}
        stored = session.read(Judgment, f"assignment {AMONG}", [list(of_token)], all_rows=True)
        stored_ids = {vote.id for vote in stored} | {(vote.assignment, vote.revision) for vote in stored}
        _refuse(_twice(judged))
        by_revision = {(vote.assignment, vote.revision): vote for vote in stored}
        _refuse(
            [
                f"{where}: the store has {before.winner} under this token, and this says {vote.winner}"
                f" (a later vote has revision {before.revision + 1})"
                for where, vote in judged
                if (before := by_revision.get((vote.assignment, vote.revision))) is not None
                and (before.rater, before.winner) != (vote.rater, vote.winner)
            ]
        )
        fresh = [(w, v) for w, v in judged if v.id not in stored_ids and (v.assignment, v.revision) not in stored_ids]
        _refuse([f"{where}: {text}" for where, vote in fresh if (text := _wrong(vote, round_, of_token, people))])
        stamp = iso(utc_now())
        new = session.write(*[replace(vote, when=vote.when or stamp) for _, vote in fresh])
        _queues(session, round_, others, people)
        session.write(*[row for row in others if isinstance(row, Guess) and row.round == round_.id])
        return Imported(round_.id, new, len(judged) - new, tuple(problems))


def _twice(located: Sequence[tuple[str, Judgment]]) -> list[str]:
    """What is wrong where one file holds two votes under one token and revision that are not the same."""
    first: dict[tuple[str, int], tuple[str, Judgment]] = {}
    problems = []
    for where, vote in located:
        earlier_where, earlier = first.setdefault((vote.assignment, vote.revision), (where, vote))
        if (earlier.rater, earlier.winner) != (vote.rater, vote.winner):
            line = earlier_where.rpartition(":")[2]
            problems.append(
                f"{where} votes otherwise than line {line} under the same token (a later vote has revision 2)"
            )
    return problems


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        more = f"; and {len(problems) - SHOWN_PROBLEMS} more" if len(problems) > SHOWN_PROBLEMS else ""
        raise ReviewError("; ".join(problems[:SHOWN_PROBLEMS]) + more, hint="Nothing was taken in; mend the file")


def _wrong(
    vote: Judgment, round_: Round, of_token: Mapping[str, Assignment], people: Mapping[str, Invitation]
) -> str:  # fmt: skip
    """What is wrong with a vote from a file; empty when nothing is."""
    if vote.assignment not in of_token:
        return f"no item of the round {round_.id} has the token {vote.assignment!r}"
    if vote.rater not in people:
        return f"{vote.rater!r} is not invited to the round {round_.id} (`harness review invite` comes first)"
    if vote.winner not in (*CHOICES, "undone"):
        return f"{vote.winner!r} is no choice (give one of {', '.join(CHOICES)})"
    if vote.revision < 1 or not 0 <= vote.seconds < float("inf"):
        return "revision and seconds must be numbers, from 1 and from 0"
    flags = {f"{side}:{flag}" for side in ("left", "right") for flag in round_.flags}
    unknown = [*(f for f in vote.flags if f not in flags), *(c for c in vote.criteria if c not in round_.criteria)]
    if unknown:
        return f"{unknown[0]!r} is neither a flag nor a criterion of the round"
    if round_.unblinded is not None or (
        round_.closed is not None and (not vote.when or vote.when > round_.closed.when)
    ):
        return f"the round {round_.id} was closed at {round_.closed.when if round_.closed else ''}, before this vote"
    return ""


def _queues(session: Session, round_: Round, others: Sequence[Any], people: Mapping[str, Invitation]) -> None:
    """Give reviewers the queues that they took elsewhere, unless somebody has taken them here."""
    taken = {person.queue for person in people.values()} - {None}
    for row in others:
        if not isinstance(row, Invitation) or row.round != round_.id or row.queue is None:
            continue
        invitation = people.get(row.name)
        if (
            invitation is not None
            and invitation.token_hash == row.token_hash
            and invitation.queue is None
            and row.queue not in taken
        ):
            session.write(replace(invitation, queue=row.queue, arrived=row.arrived))
            taken.add(row.queue)


def _annotations(store: Store, file_rows: Sequence[Row], who: str, path: Path) -> Imported:
    """A round out of a finished annotation file; the same file again is the same round."""
    _refuse([f"{row.where}: {text}" for row in file_rows if (text := _bad_annotation(row))])
    in_file = len(file_rows)
    file_rows = once(file_rows)
    name = f"i{digest([row.values for row in file_rows], 10)}"
    repeated = in_file - len(file_rows)
    stamp = Stamp(iso(utc_now()), who, f"imported from {path.name}")
    assignments, votes = [], []
    times: Counter[tuple[str, ...]] = Counter()
    for position, row in enumerate(file_rows):
        example, left, right, rater = (str(row.values[column]).strip() for column in ANNOTATION[:4])
        key = (example, left, right, rater)
        times[key] += 1
        token = digest([name, *key, times[key]], 40)
        item = digest([name, example, *sorted((left, right))], 40)
        assignments.append(Assignment(token, name, "ordinary", item, example, left, right, None, position, rater))
        vote = replace(_vote_of(row), id=f"{token}-1", assignment=token, rater=rater, revision=1)
        votes.append(replace(vote, when=vote.when or stamp.when))
    arms = tuple(dict.fromkeys(arm for a in assignments for arm in (a.left, a.right)))
    per_item = Counter(a.item for a in assignments)
    round_ = Round(
        id=name,
        experiment="",
        arms=arms,
        evaluations={arm: arm for arm in arms},
        split="imported",
        items=len(per_item),
        raters=max(per_item.values()),
        queues=0,
        seed=None,
        instructions="",
        criteria=tuple(dict.fromkeys(c for vote in votes for c in vote.criteria)),
        flags=tuple(dict.fromkeys(flag.partition(":")[2] or flag for vote in votes for flag in vote.flags)),
        exclusion=ExclusionRule(gold_accuracy=None),
        gold=0,
        identical=0,
        repeats=0,
        opened=stamp,
        closed=stamp,
        unblinded=stamp,
    )
    with store.session() as session:
        if session.read(Round, "id = $1", [name]):
            return Imported(name, 0, len(votes))
        session.write(round_, *assignments, *votes)
    told = (f"{repeated} lines repeat the vote of another line and count once",) if repeated else ()
    return Imported(name, len(votes), 0, told)


def once(file_rows: Sequence[Row]) -> list[Row]:
    """The rows without those that repeat the vote of one rater on one pair, whichever side an arm stands on.

    Rows with a token of their own are apart: a round may show a pair twice to one rater. Raises ReviewError where one
    rater votes in two ways.
    """
    first: dict[tuple[str, ...], tuple[Row, str]] = {}
    problems = []
    for row in file_rows:
        example, left, right, rater = (str(row.values[column]).strip() for column in ANNOTATION[:4])
        winner = str(row.values["winner"]).strip().lower()
        chosen = {"left": left, "right": right}.get(winner, winner)
        key = (example, *sorted((left, right)), rater, str(row.values.get("token") or ""))
        earlier, before = first.setdefault(key, (row, chosen))
        if before != chosen:
            line = earlier.where.rpartition(":")[2]
            problems.append(f"{row.where}: {rater} voted for {before} on this pair in line {line}, for {chosen} here")
    _refuse(problems)
    return [row for row, _ in first.values()]


def _bad_annotation(row: Row) -> str:
    for column in ANNOTATION[:4]:
        if not str(row.values.get(column) if row.values.get(column) is not None else "").strip():
            return f"{column} is empty"
    if str(row.values["left"]).strip() == str(row.values["right"]).strip():
        return "left and right are the same arm"
    winner = str(row.values.get("winner") or "").strip().lower()
    if winner not in CHOICES:
        return f"{winner!r} is no choice (give one of {', '.join(CHOICES)})"
    if (seconds := _number(row.values.get("seconds"), 0.0)) is None or not 0 <= seconds < float("inf"):
        return "seconds must be a number from 0"
    return ""
