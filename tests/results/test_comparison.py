"""Two arms side by side: differences, the samples that differ most, and what a sensitive task keeps back."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from answer_counts import count_answers

from harness.errors import UsageError
from harness.records import Message
from harness.results.collect import collect
from harness.results.leaderboard.board import leaderboard
from harness.results.render.json import comparison_to_json
from harness.results.render.studies import comparison_to_text
from harness.results.studies.comparison import Texts, compare


def texts_of(maker):
    return Texts({one.id: one for one in maker.examples}, maker.predictions)


@pytest.fixture
def comparison(maker):
    return compare(maker.results, "lora", "untrained", texts_of(maker), 4)


def test_differences_agree_with_the_leaderboard(maker, comparison):
    board = leaderboard(maker.results)
    row = next(row for row in board.rows if row.arm == "lora")
    for one in comparison.metrics:
        assert one.difference == row.cells[one.column.name].difference
    assert comparison.metrics[0].p_value == row.cells["rouge_l"].p_value


def test_sides_turn_the_sign(maker, comparison):
    turned = compare(maker.results, "untrained", "lora", texts_of(maker), 4)
    for one, other in zip(comparison.metrics, turned.metrics, strict=True):
        assert one.difference.value == pytest.approx(-other.difference.value)
    assert (turned.wins_a, turned.wins_b, turned.ties) == (comparison.wins_b, comparison.wins_a, comparison.ties)
    assert comparison.wins_a + comparison.wins_b + comparison.ties == 40


def test_samples_are_those_that_differ_most_with_their_texts(maker, comparison):
    value = {(one.eval_id, one.item): one.value for one in maker.scores if one.metric == "rouge_l"}
    gaps = sorted(abs(value["eval-lora-0", one.id] - value["eval-untrained-None", one.id]) for one in maker.examples)
    assert [abs(sample.difference) for sample in comparison.samples] == pytest.approx(gaps[::-1][:4])
    said = {(one.eval_id, one.example): one.text for one in maker.predictions}
    for sample in comparison.samples:
        example = next(one for one in maker.examples if one.id == sample.example)
        assert (sample.prompt, sample.references) == (example.prompt, example.references)
        assert sample.text_a == said["eval-lora-0", sample.example]
        assert sample.text_b == said["eval-untrained-None", sample.example]


def test_text_and_json_show_them(comparison):
    text = comparison_to_text(comparison)
    assert max(map(len, text.splitlines())) <= 110
    assert f"Example {comparison.samples[0].example}: rouge_l lora" in text
    assert comparison.samples[0].prompt in text
    data = json.loads(json.dumps(comparison_to_json(comparison), allow_nan=False))
    assert data["schema"] == "harness.compare/1"
    assert set(data) == {
        *("schema", "experiment", "a", "b", "estimand", "metrics", "wins", "sensitive", "samples", "notes"),
    }
    assert data["samples"][0]["difference"] == comparison.samples[0].difference
    assert data["metrics"][0]["metric"] == "rouge_l"


def test_a_sensitive_task_shows_no_text(maker):
    maker.task["sensitive"] = True
    comparison = compare(maker.results, "lora", "untrained", texts_of(maker), 4)
    assert comparison.sensitive
    assert len(comparison.samples) == 4
    everything = comparison_to_text(comparison) + json.dumps(comparison_to_json(comparison))
    for one in maker.predictions:
        assert one.text not in everything
    assert "Summarise" not in everything
    assert "no ids and no text" in everything
    assert {one.example for one in comparison.samples} == {"no. 1", "no. 2", "no. 3", "no. 4"}


def test_conversations_are_shown_by_turn(maker):
    turns = (Message("system", "Be brief."), Message("user", "Hello"))
    maker.examples = [replace(one, prompt=None, messages=turns) for one in maker.examples]
    comparison = compare(maker.results, "lora", "full", texts_of(maker), 1)
    assert comparison.samples[0].prompt == "system: Be brief.\nuser: Hello"


def test_model_text_cannot_drive_the_terminal(maker):
    maker.predictions = [replace(one, text="\x1b]0;owned\x07[bold]x[/bold]") for one in maker.predictions]
    text = comparison_to_text(compare(maker.results, "lora", "full", texts_of(maker), 1))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[bold]x[/bold]" in text


def test_several_seeds_are_averaged_and_said(make):
    maker = make(examples=8, seeds=(0, 1))
    comparison = compare(maker.results, "lora", "untrained", texts_of(maker), 1)
    assert comparison.notes == ("texts of lora are those of the first seed; values are means over seeds",)
    assert comparison.metrics[0].difference.seeds == 2


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ("lorra", "full", "no arm is called 'lorra'. Did you mean 'lora'"),
        ("zzz", "full", "Arms: untrained, few_shot, full"),
        ("full", "full", "'full' compared with itself"),
        ("full", "qlora", "arm 'qlora' has no result: oom"),
    ],
)
def test_arms_that_cannot_be_compared(results, a, b, message):
    with pytest.raises(UsageError, match=r".") as caught:
        compare(results, a, b, Texts())
    assert message in str(caught.value)


def test_results_are_collected_from_anything_that_reads_like_the_store(maker):
    truth = maker.results
    other = replace(truth.experiment, experiment_id="x0")
    elsewhere = replace(truth.experiment, experiment_id="x9", task_fingerprint="f9")

    class Shelf:
        def experiments(self):
            return [other, elsewhere, truth.experiment]

        def experiments_on(self, task_fingerprint):
            return {one.experiment_id for one in self.experiments() if one.task_fingerprint == task_fingerprint}

        def experiment(self, name_or_id):
            return next(one for one in self.experiments() if one.experiment_id == name_or_id)

        def entries(self, experiment_id):
            return list(truth.entries)

        def runs(self, train_ids):
            return [run for run in truth.runs if run.train_id in train_ids]

        def trials(self, experiment_id):
            return []

        def scores(self, eval_ids):
            return [score for score in truth.scores if score.eval_id in eval_ids]

        def evaluations(self, eval_ids):
            return [one for one in truth.evaluations if one.eval_id in eval_ids]

        def sentinels(self, suite):
            return list(truth.sentinels)

        def serving(self, experiment_id):
            return list(truth.serving)

        def answer_counts(self, eval_ids):
            counts = count_answers(row for row in maker.predictions if row.eval_id in eval_ids)
            return {one: (row.answers, row.length_limited, row.truncated) for one, row in counts.items()}

        def looks(self):
            return [*truth.looks, replace(truth.looks[0], experiment="x9")]

    collected = collect(Shelf(), "x1")
    assert leaderboard(collected) == leaderboard(truth)
