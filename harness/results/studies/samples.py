"""Answers of every arm to a few test examples, side by side: chosen by a rule and a seed, not by hand."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from harness.metrics import of_task
from harness.records import digest
from harness.results.collect import Results, by_arm, scored
from harness.results.estimator import tabulate
from harness.results.studies.comparison import Texts, prompt_of

LONGEST = 4000
"""Characters of a text that are shown."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one arm answered, and the primary metric's value for it."""

    arm: str
    text: str
    value: float | None


@dataclass(frozen=True, slots=True)
class SampleAnswers:
    """One test example with the answers of all arms."""

    why: str
    """`best of full`, `drawn`, …"""
    example: str
    prompt: str
    references: tuple[str, ...]
    answers: tuple[Answer, ...]


def shown_samples(
    results: Results, texts: Texts, winner: str, order: Sequence[str], drawn: int
) -> tuple[SampleAnswers, ...]:
    """The examples on which `winner` is best, in the middle and worst by the primary metric, and `drawn` at random.

    Among equal values a hash decides, and the random ones are drawn with a seed of the experiment's id, so that nobody
    chooses. Arms as in `order`, of several seeds the first. Nothing for a sensitive task, unless the texts stay inside.
    """
    experiment = results.experiment
    if experiment.task.get("sensitive") and not texts.inside:
        return ()
    name, seed = str(experiment.task["metrics"]["primary"]), experiment.experiment_id
    sign = 1 if of_task(name, experiment.task).direction == "lower" else -1
    firsts = {arm: good[0].eval_id for arm, entries in by_arm(results.entries).items() if (good := scored(entries))}
    table = tabulate(results.scores)
    scores = {arm: table.get(str(eval_id), {}).get(name, {}) for arm, eval_id in firsts.items()}
    values = {
        arm: {item: score.value for item, score in own.items() if score.status == "ok" and score.value is not None}
        for arm, own in scores.items()
    }
    answers = {(row.eval_id, row.example): row.text for row in texts.predictions}
    judged = {item: value for item, value in values.get(winner, {}).items() if item in texts.examples}
    ranked = sorted(judged, key=lambda item: (sign * judged[item], digest([seed, item])))
    chosen: dict[str, str] = {}
    if ranked:
        picks = ((f"best of {winner}", 0), (f"median of {winner}", len(ranked) // 2), (f"worst of {winner}", -1))
        for why, index in picks:
            chosen.setdefault(ranked[index], why)
    rest = sorted(set(texts.examples) - set(chosen))
    for item in random.Random(int(digest([seed, "samples"]), 16)).sample(rest, min(drawn, len(rest))):
        chosen[item] = "drawn"
    return tuple(
        SampleAnswers(
            why,
            item,
            _cut(prompt_of(texts.examples[item])),
            tuple(map(_cut, texts.examples[item].references)),
            tuple(
                Answer(arm, _cut(answers[str(firsts[arm]), item]), values[arm].get(item))
                for arm in order
                if arm in firsts and (str(firsts[arm]), item) in answers
            ),
        )
        for item, why in chosen.items()
    )


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text) - LONGEST:,} more characters)"
