"""The verdict in lines of text, for every form of the leaderboard."""

from __future__ import annotations

from harness.records import Question, WinnerRule, WinnerVerdict
from harness.results.winner.verdict import COST_WORDS, listed


def ranks_words(question: Question) -> str:
    """What the columns of ranks say."""
    drawn = (
        "resamples of the test examples and draws of the seeds' spread"
        if question == "method"
        else "resamples of the test examples, seeds averaged: they say nothing about other seeds"
    )
    return f"rank: 95 % interval of each arm's own rank; P(best): how often it is the best one. Both over {drawn}."


def verdict_lines(verdict: WinnerVerdict) -> list[str]:
    """The verdict, what stands behind it, and the rule with the moment of its declaration."""
    what = "these methods" if verdict.estimand == "method" else "these checkpoints"
    lines = [f"Verdict on {what}: {verdict.words}.", *([verdict.reason] if verdict.reason else [])]
    lines += [f"{note[0].upper()}{note[1:]}." for note in verdict.notes]
    return [*lines, f"{rule_words(verdict.rule)}: {verdict.declaration}."]


def rule_words(rule: WinnerRule) -> str:
    """A rule in words."""
    name = "Winner rule" if rule.declared else "Default winner rule"
    if not rule.margin:
        return f"{name} (every difference matters)"
    return f"{name} (differences up to {rule.margin:g} do not matter, a tie goes to the least {COST_WORDS[rule.cost]})"


def standing(verdict: WinnerVerdict) -> str:
    """What the verdict says of every arm, in one line; empty where there is nothing to compare."""
    margin = verdict.rule.margin
    more = f" by more than {margin:g}" if margin else ""
    parts = []
    if verdict.good:
        parts.append(f"no arm is better{more} than {listed(verdict.good)}")
    if verdict.open:
        parts.append(f"may be as good as any: {listed(verdict.open)}")
    if verdict.worse:
        parts.append(f"worse than another{more}: {listed(verdict.worse)}")
    if verdict.outcome == "no_verdict" or not parts:
        return ""
    text = "; ".join(parts)
    level = f"Each comparison at {100 * verdict.level:.3g} %, so that the verdict holds at 95 %."
    return f"{text[0].upper()}{text[1:]}. {level}"
