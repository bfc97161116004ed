"""What people said, on the leaderboard: one more metric of each arm."""

from __future__ import annotations

from typing import Any

from harness.records import to_json as plain_json
from harness.results import numbers
from harness.results.human.records import METRIC, HumanArm, HumanReview
from harness.results.leaderboard.rows import Leaderboard
from harness.results.render.human import SHARE, Block, few, score, share, some


def board_block(board: Leaderboard) -> Block | None:
    """The human win rate of every arm of the board; None without an unblinded round."""
    found = board.human
    if found is None:
        return None
    without = found.without
    heads = [("human review", 0), ("human win rate ↑ [95 %]", 0), ("rank", 0), ("P(best)", 1), ("score [95 %]", 2)]
    heads += [("votes", 0)] + ([("without left out [95 %]", 0)] if without is not None else [])
    rows = []
    for one in found.everyone.arms:
        cells = [one.arm, share(one.win_rate.rate), numbers.ranks(one.ranks), numbers.chance(one.best_probability)]
        cells += [score(one.score), str(arm_votes(one))]
        if without is not None:
            other = without.of(one.arm)
            cells.append(share(other.win_rate.rate) if other is not None else numbers.ABSENT)
        rows.append(tuple(cells))
    return Block("Human review", tuple(heads), tuple(rows), tuple(board_lines(found)))


def arm_votes(one: HumanArm) -> int:
    """Votes on an arm, automatic ties included."""
    rate = one.win_rate
    return rate.wins + rate.losses + rate.ties + rate.both_bad


def board_lines(found: HumanReview) -> list[str]:
    """What the numbers are about: round, raters, agreement, ties."""
    table = found.everyone
    agreement = numbers.with_interval(table.alpha_nominal.estimate, SHARE)
    why = f" ({table.alpha_nominal.why})" if table.alpha_nominal.why else ""
    lines = [
        f"Round {found.round}, blind, {found.split} prompts, unblinded {found.unblinded.when}: "
        f"{some(table.votes, 'vote')} by {some(table.raters, 'rater')} on {some(table.examples, 'example')}; "
        f"agreement (Krippendorff's alpha) {agreement}{why}.",
        "Wins and half the ties against the other arms of the round; interval clustered by example and by rater.",
    ]
    lines += few(table.raters)
    if table.automatic:
        lines.append(f"{table.automatic} of the ties stand for {found.automatic_items} items with the same text twice.")
    if found.excluded:
        lines.append(f"The declared rule leaves out {len(found.excluded)} of {len(found.raters)} raters.")
    return [*lines, *(f"{note[0].upper()}{note[1:]}." for note in found.notes)]


def board_json(board: Leaderboard) -> dict[str, Any] | None:
    """The human metric of every arm under the name `human_win_rate`; no name of a rater."""
    found = board.human
    if found is None:
        return None
    table = found.everyone
    rows = []
    for one in table.arms:
        other = found.without.of(one.arm) if found.without is not None else None
        rows.append(
            {
                "arm": one.arm,
                METRIC: plain_json(one.win_rate.rate.estimate),
                "reason": one.win_rate.rate.why or None,
                "without_excluded": plain_json(other.win_rate.rate.estimate) if other is not None else None,
                "score": plain_json(one.score.estimate),
                "score_at_equal_length": plain_json(one.at_equal_length.estimate),
                "ranks": plain_json(one.ranks),
                "best_probability": one.best_probability,
                "votes": arm_votes(one),
                "flags": plain_json(one.flags),
            }
        )
    return {
        "round": found.round,
        "split": found.split,
        "unblinded": found.unblinded.when,
        "votes": table.votes,
        "automatic_ties": table.automatic,
        "examples": table.examples,
        "raters": table.raters,
        "excluded_raters": len(found.excluded),
        "alpha": plain_json(table.alpha_nominal.estimate),
        "blinding_index": plain_json(found.blinding.estimate),
        "notes": list(found.notes),
        "rows": rows,
    }


def arm_cell(board: Leaderboard, arm: str) -> HumanArm | None:
    """What people said of an arm of the board."""
    return board.human.everyone.of(arm) if board.human is not None else None
