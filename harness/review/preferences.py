"""Votes → preference pairs in TRL's form: one JSON object a line with `prompt`, `chosen` and `rejected`."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.errors import ReviewError
from harness.records import Assignment, ReviewText
from harness.review.results import RoundVotes, require_unblinded

if TYPE_CHECKING:
    from harness.store import Store


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
