"""Rules about what a candidate costs and how it serves: from ledger and serving figures to evidence.

What was counted (bytes, parameters) or noted once (seconds of a training, peaks of memory, money) is a fact about this
very run: it is above a limit or it is not. Speeds and latencies were timed in several rounds, and the limits of their
median decide, by the sign test.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness import stats
from harness.config import GateRule
from harness.config.gates import SPEEDS
from harness.records import (
    Entry,
    Estimate,
    Evidence,
    ExperimentRecord,
    ParityCheck,
    RunRecord,
    ServingPass,
    differences,
)
from harness.records.release import MeasureFact, Scored
from harness.records.serving import ServedArm
from harness.results.leaderboard.costs import OUTSIDE, cost_of, unknown
from harness.results.leaderboard.serving import MEASURES as TIMED, value_in
from harness.stats.one_sided import SideTest

COUNTED = ("artefact_bytes", "trainable_parameters", "total_parameters", "money")
"""Of the ledger, the same on any machine (money has its price)."""
NOTED = ("train_seconds", "peak_memory_bytes")
"""Of the ledger, and only to be compared on the same hardware."""
HARDWARE = ("machine", "processor", "accelerators", "cores")


def measures(
    experiment: ExperimentRecord, entry: Entry, run: RunRecord, passes: Sequence[ServingPass]
) -> dict[str, MeasureFact]:
    """What is known of a run: costs with those of the arm it starts from, serving figures of the newest pass.

    Of an arm that was trained elsewhere its training is not known. A pass counts if it measured this very artefact.
    """
    facts: dict[str, MeasureFact] = {}
    price = (experiment.spec.get("resources") or {}).get("price_per_device_hour")
    cost = cost_of([run.ledger], price)
    if cost is not None:
        cost = unknown(cost) if run.method in OUTSIDE else cost.with_parent or cost
        hardware = {name: run.provenance.hardware.get(name) for name in HARDWARE}
        for name in (*COUNTED, *NOTED):
            value = getattr(cost, name)
            if value is not None:
                where = {} if name in COUNTED else hardware
                kind = {"memory": cost.memory_kind} if name == "peak_memory_bytes" else {}
                facts[name] = MeasureFact(float(value), place={**where, **kind})
    artefact = run.artefact.hash if run.artefact is not None else None
    served = [
        (pass_, arm)
        for pass_ in passes
        for arm in pass_.arms
        if (arm.arm, arm.train_id, arm.artefact_hash) == (entry.arm, entry.train_id, artefact) and arm.status == "ok"
    ]
    if served:
        facts |= _serving(*max(served, key=lambda both: both[0].created))
    return facts


def _serving(pass_: ServingPass, arm: ServedArm) -> dict[str, MeasureFact]:
    circumstances = {name: dict(getattr(pass_, name)) for name in ("hardware", "settings", "environment")}
    facts: dict[str, MeasureFact] = {}
    probe = arm.probe
    if probe is not None:
        first = next((tried.memory_bytes for tried in probe.tries if tried.rows == 1 and tried.status == "ok"), None)
        if probe.weights_bytes is not None:
            facts["weights_bytes"] = MeasureFact(float(probe.weights_bytes))
        if first is not None:
            where = {**circumstances, "memory": probe.memory_kind}
            facts["serving_memory_bytes"] = MeasureFact(float(first), place=where)
    for name in TIMED:
        timed = {visit.round: value_in(name, visit, probe.batch if probe is not None else None) for visit in arm.visits}
        rounds = {str(number): value for number, value in timed.items() if value is not None}
        if rounds:
            facts[name] = MeasureFact(statistics.median(rounds.values()), rounds, circumstances, pass_.pass_id)
    return facts


def measure_rule(rule: GateRule, candidate: Scored, baseline: Scored) -> Evidence:
    """What a rule about a measure asks, and what is known of it."""
    assert rule.measure is not None
    limit = next(value for value in (rule.ceiling, rule.floor, rule.times) if value is not None)
    asked = Evidence(rule.title, rule.tier, limit, rule.measure in SPEEDS, rule.confidence)
    ours, theirs = candidate.measures.get(rule.measure), baseline.measures.get(rule.measure)
    if ours is None:
        return replace(asked, problem=f"candidate: {_absent(rule.measure)}")
    if rule.times is None:
        return _timed(list(ours.rounds.values()), asked) if ours.rounds else _exact(ours.value, asked, "as noted")
    if theirs is None:
        return replace(asked, problem=f"baseline: {_absent(rule.measure)}; then pin it under a new name")
    if theirs.value <= 0:
        return replace(asked, problem=f"{rule.measure} of the baseline is {theirs.value:g}: no ratio")
    elsewhere = _elsewhere(theirs.place, ours.place)
    if elsewhere:
        words = f"{rule.measure} was measured under other circumstances ({elsewhere}): measure both on one machine"
        return replace(asked, problem=words)
    if not ours.rounds or not theirs.rounds:
        return _exact(ours.value / theirs.value, asked, "times the baseline's, as noted")
    return _ratio(ours, theirs, asked)


def _absent(name: str) -> str:
    if name == "money":
        return "money is not known: the experiment gives no price (resources: price_per_device_hour)"
    if name in COUNTED or name in NOTED:
        return f"{name} is not known: trained elsewhere, or by a harness that did not note it"
    return f"{name} was not measured on this artefact: `harness serving EXPERIMENT.yaml` measures it"


def _elsewhere(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """What differs between the places of two measurements, in words; empty where nothing does."""
    parts = []
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name), after.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            parts += differences(old, new)
        elif old != new:
            parts += differences({name: old}, {name: new})
    return ", ".join(parts)


def _exact(value: float, asked: Evidence, words: str) -> Evidence:
    """A number that is known: on one side of the limit for certain."""
    wrong = value < asked.limit if asked.higher_is_better else value > asked.limit
    estimate = Estimate(value, value, value, 1, 1, 1, words, 1.0)
    return replace(asked, estimate=estimate, p_fail=0.0 if wrong else 1.0, more_examples=0)


def _timed(values: Sequence[float], asked: Evidence) -> Evidence:
    test = stats.median_test(values, asked.limit, asked.confidence)
    return with_test(replace(asked, counted="rounds"), test)


def with_test(asked: Evidence, test: SideTest) -> Evidence:
    """What is asked with a test of the side of the limit that the number lies on."""
    p_fail = test.p_below if asked.higher_is_better else test.p_above
    return replace(asked, estimate=test.estimate, p_fail=p_fail, more_examples=test.more_examples)


def _ratio(ours: MeasureFact, theirs: MeasureFact, asked: Evidence) -> Evidence:
    """Times the baseline's: within rounds where both were in one pass, else from the limits of two medians.

    The limits of two passes are taken at half the error rate each, so that together they keep the confidence. What
    differs from pass to pass on the same machine is in neither.
    """
    both = [number for number in ours.rounds if number in theirs.rounds]
    if ours.pass_id == theirs.pass_id and both:
        return _timed([ours.rounds[number] / theirs.rounds[number] for number in both], asked)
    half = (1 + asked.confidence) / 2
    our_median = stats.median_test(list(ours.rounds.values()), ours.value, half)
    their_median = stats.median_test(list(theirs.rounds.values()), theirs.value, half)
    value = ours.value / theirs.value
    short = [test.more_examples for test in (our_median, their_median) if test.estimate.low is None]
    words = "ratio of the medians of two passes; what differs from pass to pass is not in its limits"
    ratio = Estimate(value, None, None, len(ours.rounds), len(ours.rounds), 1, words, 2 * asked.confidence - 1)
    asked = replace(asked, counted="rounds")
    if short:
        fewest = next(test.estimate.method for test in (our_median, their_median) if test.estimate.low is None)
        return replace(asked, estimate=replace(ratio, method=fewest), more_examples=max(more or 0 for more in short))
    (low, high), (least, most) = _ends(our_median.estimate), _ends(their_median.estimate)
    return replace(asked, estimate=replace(ratio, low=low / most, high=high / least))


def _ends(estimate: Estimate) -> tuple[float, float]:
    assert estimate.low is not None and estimate.high is not None
    return estimate.low, estimate.high


def parity_rule(rule: GateRule, checks: Sequence[ParityCheck]) -> Evidence:
    """The size of the difference between what ships and the candidate, held below the margin.

    `checks` are those of the candidate's own evaluation, in the order they were made.
    """
    assert rule.parity is not None and rule.margin is not None
    asked = Evidence(rule.title, rule.tier, rule.margin, False, rule.confidence, rule.least)
    own_checks = [check for check in checks if check.kind == rule.parity and check.primary]
    if not own_checks:
        way = "URL --model NAME" if rule.parity == "endpoint" else "FOLDER"
        words = f"no parity check of its {rule.parity} on the primary metric: harness parity RUN --artefact {way}"
        return replace(asked, problem=words)
    newest = own_checks[-1]
    about = f"{newest.artefact} ({newest.artefact_hash}), {newest.when}"
    if newest.outcome == "INVALID" or newest.difference is None:
        return replace(asked, problem=f"{newest.words}: {about}")
    if newest.confidence < rule.confidence:
        again = f"harness parity RUN --artefact … --confidence {rule.confidence:g}"
        words = f"checked at a confidence of {newest.confidence:g}, the rule asks for {rule.confidence:g}: {again}"
        return replace(asked, problem=words)
    size = _size(newest.difference, f"{newest.metric} of {about}: {newest.difference.method}")
    # The number of examples was worked out for the margin of the check.
    more = newest.more_examples if newest.margin == rule.margin else None
    return replace(asked, estimate=size, more_examples=more, parts=tuple(_identity(newest, asked)))


def _size(difference: Estimate, words: str) -> Estimate:
    """How far a difference is from 0: below a margin where the interval lies within both margins, above it where the
    interval lies beyond one."""
    low, high = difference.low, difference.high
    if low is None or high is None:
        return replace(difference, value=abs(difference.value), method=words)
    return replace(
        difference, value=abs(difference.value), low=max(0.0, low, -high), high=max(abs(low), abs(high)), method=words
    )


def _identity(check: ParityCheck, asked: Evidence) -> list[Evidence]:
    """Whether it is the candidate's model at all: nearer to its run than to the base, and not another arm's."""
    bases = [closeness for closeness in check.closeness if closeness.base]
    lows = [-1.0 if closeness.estimate.low is None else closeness.estimate.low for closeness in bases]
    nearest = bases[lows.index(max(lows))] if bases else None
    parts = []
    if nearest is not None:
        parts.append((f"nearer to the run than to {nearest.other}", nearest.estimate))
    if check.impostor:
        words = f"{check.impostor}: {check.words}"
        estimate = Estimate(-1.0, -1.0, -1.0, check.answers, check.answers, 1, words)
        parts.append((f"not the model of {check.impostor}", estimate))
    return [Evidence(name, asked.tier, 0.0, True, asked.confidence, estimate=estimate) for name, estimate in parts]
