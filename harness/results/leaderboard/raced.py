"""What a race stopped, what that saved and what it risked: apart from every other figure."""

from __future__ import annotations

from typing import Any

from harness.records import ExperimentRecord, Race, RaceArm, to_json as plain
from harness.results import numbers
from harness.stats.elimination import reason, share_spent

BENCH = "bench/racing.py"
"""Replays races over a recorded full grid."""


def left_out(experiment: ExperimentRecord) -> tuple[str, ...]:
    """Arms that a race stopped, and those that were not run for that."""
    return tuple(arm.arm for arm, _ in _reasons(experiment.race))


def race_notes(experiment: ExperimentRecord) -> tuple[str, ...]:
    """What was saved and what was risked, in words; nothing without a race."""
    race = experiment.race
    if race is None:
        return ()
    raced = [arm for arm in race.arms if arm.outcome in ("survived", "eliminated")]
    out = [arm for arm in race.arms if arm.outcome == "eliminated"]
    told = ", ".join(f"{arm.arm} at {100 * arm.share:.3g} %" for arm in out) or "none"
    looked = ", ".join(f"{100 * share:.3g}" for share in race.shares)
    late = [f"{arm.arm} ({arm.words})" for arm in race.arms if arm.outcome == "not_raced"]
    return (
        f"racing on {race.metric} of validation examples, at {looked} % of the budget, stopped {len(out)} of "
        f"{len(raced)} arms: {told}; they are not ranked" + (f"; not in the race: {', '.join(late)}" if late else ""),
        f"saved by racing, in no other figure: {100 * (1 - share_spent(race)):.3g} % of the train steps of the arms in "
        f"the race; its price: {numbers.count(sum(arm.examples for arm in race.arms))} validation examples scored, "
        f"{numbers.seconds(race.seconds)} s",
        f"risk of racing: at most {100 * race.level:.3g} % of races stop an arm that is not behind another by more "
        f"than {race.margin:g} at that rung; that the order there is not the order at the end is covered by no level "
        f"({BENCH} counts it on a recorded grid)",
    )


def race_lines(experiment: ExperimentRecord) -> list[str]:
    """`race_notes` as sentences, and a line for every arm that was left out."""
    notes = [f"{note[0].upper()}{note[1:]}." for note in race_notes(experiment)]
    return notes + [f"{arm.arm}: {why}" for arm, why in _reasons(experiment.race)]


def race_json(experiment: ExperimentRecord) -> dict[str, Any] | None:
    """The race, with its saving and its risk; None where there was none."""
    race = experiment.race
    if race is None:
        return None
    scored = sum(arm.examples for arm in race.arms)
    return {
        **plain(race),
        "saving": {"train_step_share": 1 - share_spent(race), "validation_examples": scored, "seconds": race.seconds},
        "risk": {"level": race.level, "covers": "the order at each rung, not that it is the order at the end"},
        "reasons": {arm.arm: why for arm, why in _reasons(race)},
    }


def _reasons(race: Race | None) -> list[tuple[RaceArm, str]]:
    arms = race.arms if race is not None else ()
    return [(arm, reason(arm, race.metric)) for arm in arms if race and arm.outcome in ("eliminated", "not_run")]
