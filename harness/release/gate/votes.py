"""Rules about what people said in blind review: a win rate, how far the raters agree, and how often they flagged.

Evidence comes from ordinary pairs alone: gold and identical pairs and repeats measure the raters. Where the rule that
was declared with the round leaves raters out, the answer must hold with and without them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from harness import stats
from harness.config import GateRule
from harness.config.documents import nearest
from harness.records import Evidence
from harness.release.gate.measures import with_test
from harness.results.human.statistics import ArmVotes, arm_flag, arm_votes
from harness.results.human.votes import RoundVotes, excluded_raters

P_STEPS = 30


def win_rate_rule(rule: GateRule, round_votes: RoundVotes, arm: str) -> Evidence:
    """The share of votes that an arm won, clustered by example and by rater, with what is asked of the raters."""
    assert rule.floor is not None
    asked = Evidence(rule.title, rule.tier, rule.floor, True, rule.confidence, rule.least, counted="votes")
    votes = arm_votes(round_votes, arm)
    if votes is None:
        words = f"round {round_votes.round.id}: nobody judged an answer of {arm}"
        return replace(asked, waiting=words, more_examples=rule.least or None)
    first = _win_rate(asked, round_votes, votes)
    if votes.votes < rule.least:
        return first  # below the minimum nothing else decides either

    def of(left_out: Sequence[str]) -> Evidence:
        rest = arm_votes(round_votes, arm, left_out)
        return _win_rate(asked, round_votes, rest) if rest is not None else asked

    parts = _without(round_votes, of)
    if rule.minimum_agreement is not None:
        alpha = votes.agreement(2 * rule.confidence - 1)
        agreement = Evidence("agreement (alpha)", rule.tier, rule.minimum_agreement, True, rule.confidence)
        agreement = replace(agreement, counted="comparisons", estimate=alpha.estimate)
        if alpha.estimate is None:  # then the raters' agreement is open
            parts.append(replace(agreement, waiting=alpha.why))
        else:
            more = stats.more_to_settle(alpha.estimate, agreement.limit, agreement.confidence)
            parts.append(replace(agreement, more_examples=more))
    return replace(first, parts=tuple(parts))


def flag_rule(rule: GateRule, round_votes: RoundVotes, arm: str) -> Evidence:
    """The share of an arm's answers that were flagged, by exact binomial limits.

    What is counted is answers, each of another example: one that several raters saw counts once, and is flagged when
    any of them flagged it.
    """
    assert rule.flag is not None and rule.ceiling is not None
    flag = rule.flag
    asked = Evidence(rule.title, rule.tier, rule.ceiling, False, rule.confidence, rule.least)
    if flag not in round_votes.round.flags:
        words = f"the round {round_votes.round.id} asked for no flag {flag!r}. {nearest(flag, round_votes.round.flags)}"
        return replace(asked, problem=words.strip())
    asked = replace(asked, counted="answers")

    def of(left_out: Sequence[str]) -> Evidence:
        row = arm_flag(round_votes, arm, flag, left_out)
        if not row.answers:
            words = f"round {round_votes.round.id}: nobody judged an answer of {arm}"
            more = math.ceil(math.log(1 - rule.confidence) / math.log1p(-asked.limit))
            return replace(asked, waiting=words, more_examples=max(more, rule.least))
        test = stats.rate_test(row.flagged, row.answers, asked.limit, asked.confidence)
        words = (
            f"{row.flagged} of {row.answers} answers flagged, {row.votes} votes (an answer counts once, flagged by any "
            f"of its raters), round {round_votes.round.id}; {test.estimate.method}"
        )
        return with_test(asked, replace(test, estimate=replace(test.estimate, method=words)))

    first = of(())
    return first if first.waiting else replace(first, parts=tuple(_without(round_votes, of)))


def _without(round_votes: RoundVotes, of: Callable[[Sequence[str]], Evidence]) -> list[Evidence]:
    """The same question without the raters whom the declared rule leaves out, where it leaves out some but not all."""
    left_out = excluded_raters(round_votes)
    voted = {vote.rater for _, vote in round_votes.judged("ordinary")}
    gone = voted & set(left_out)
    if not gone or gone == voted:
        return []
    label = f"without {len(gone)} raters that the declared rule leaves out"
    evidence = of(tuple(left_out))
    if evidence.estimate is None:
        return []
    return [replace(evidence, rule=label, minimum_examples=0)]


def _win_rate(asked: Evidence, round_votes: RoundVotes, votes: ArmVotes) -> Evidence:
    rate = votes.rate(2 * asked.confidence - 1)
    if rate.estimate is None:
        return replace(asked, waiting=f"round {round_votes.round.id}: {rate.why}")
    words = f"round {round_votes.round.id}, {round_votes.round.split} prompts: {rate.estimate.method}"
    estimate = replace(rate.estimate, method=words)
    more = stats.more_to_settle(estimate, asked.limit, asked.confidence)
    p_fail = _p_value(votes, asked.limit) if estimate.high is not None and estimate.high < asked.limit else None
    return replace(asked, estimate=estimate, p_fail=p_fail, more_examples=more, count=votes.votes)


def _p_value(votes: ArmVotes, limit: float) -> float:
    """One-sided: half the error rate of the widest interval that still lies below the limit, by bisection."""
    low, high = 0.0, 0.5
    for _ in range(P_STEPS):
        tail = (low + high) / 2
        estimate = votes.rate(1 - 2 * tail).estimate
        end = estimate.high if estimate is not None else None
        low, high = (low, tail) if end is not None and end < limit else (tail, high)
    return high
