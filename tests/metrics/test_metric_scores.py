"""The table of metrics, and predictions turned into Scores."""

from __future__ import annotations

import json

import numpy as np
import pytest

from harness.errors import DataError, UsageError
from harness.metrics import METRICS, metric, score_predictions
from harness.records import Example, Prediction

EXAMPLES = [
    Example("a", "g1", ("one two",), prompt="p", fields={"facts": [{"slot": "dose", "value": "5 mg"}]}),
    Example("b", "g1", ("three four", "five"), prompt="p", fields={"facts": '[{"slot": "dose", "value": "9 mg"}]'}),
    Example("c", "g2", ("six",), prompt="p"),
]


def answer(example: str, text: str, finish: str = "stop") -> Prediction:
    return Prediction("e", example, "h", text, finish, 3, 2, 0.1)


def test_the_table_is_consistent():
    for name, known in METRICS.items():
        assert known.name == name
        assert known.version >= 1
        assert (known.combine is not None) == (known.kind == "corpus")
        assert known.suite in ("test", "retention", "preferences")
        assert "; " in known.description, f"{name} says nothing about weighting"


def test_lm_eval_metrics_are_known_by_their_form():
    known = metric("clinic_choice/acc")
    assert (known.suite, known.source, known.direction, known.kind) == (
        "lm_eval:clinic_choice",
        "lm_eval",
        "higher",
        "example",
    )
    weighted = metric("wikitext/word_perplexity")
    assert (weighted.direction, weighted.kind) == ("lower", "corpus")
    assert float(weighted.combine(np.array([-6.0, 3.0]))) == pytest.approx(np.exp(2.0))
    assert metric("group/sub/acc").suite == "lm_eval:group/sub"


@pytest.mark.parametrize(("typo", "meant"), [("rougeL", "rouge_l"), ("perplexty", "perplexity"), ("BLEU", "bleu")])
def test_an_unknown_metric_names_the_nearest(typo, meant):
    with pytest.raises(UsageError, match=f"no metric is called '{typo}'.*{meant}"):
        metric(typo)


def test_a_metric_like_nothing_lists_what_there_is():
    with pytest.raises(UsageError, match="Known: rouge_1, "):
        metric("zzzzzz")
    with pytest.raises(UsageError, match="TASK/METRIC"):
        metric("/acc")


def test_scores_of_predictions():
    predictions = [answer("b", "five", "length"), answer("a", "one two three"), answer("c", "")]
    scores = score_predictions(["exact_match", "length_limited", "bleu", "perplexity"], "e", predictions, EXAMPLES)
    by_key = {(score.item, score.metric): score for score in scores}
    assert list(by_key)[:3] == [("a", "exact_match"), ("a", "length_limited"), ("a", "bleu")]
    assert [by_key[item, "exact_match"].value for item in "abc"] == [0.0, 1.0, 0.0]
    assert [by_key[item, "length_limited"].value for item in "abc"] == [0.0, 1.0, 0.0]
    assert by_key["a", "bleu"].statistics == (3.0, 2.0, 2.0, 1.0, 0.0, 0.0, 3.0, 2.0, 1.0, 0.0)
    assert len(scores) == 9, "perplexity is not a matter of predictions"


def test_an_example_without_a_prediction_is_missing():
    scores = score_predictions(["rouge_l"], "e", [answer("a", "one")], EXAMPLES)
    assert [(score.item, score.status) for score in scores] == [("a", "ok"), ("b", "missing"), ("c", "missing")]
    assert [score.value is None for score in scores] == [False, True, True]


def test_a_prediction_for_another_split_is_an_error():
    with pytest.raises(DataError, match="does not hold, such as zz"):
        score_predictions(["rouge_l"], "e", [answer("zz", "one")], EXAMPLES)


def test_facts_reach_the_fact_metrics():
    predictions = [answer("a", "dose: 5 mg"), answer("b", "dose: 8 mg"), answer("c", "x")]
    metrics = ["fact_recall", "fabrications", "omissions", "all_facts"]
    scores = score_predictions(metrics, "e", predictions, EXAMPLES, "facts")
    values = {item: [score.value for score in scores if score.item == item] for item in "abc"}
    assert values == {"a": [1.0, 0.0, 0.0, 1.0], "b": [0.0, 1.0, 1.0, 0.0], "c": [None] * 4}
    assert [score.status for score in scores if score.item == "c"] == ["missing"] * 4
    without = score_predictions(["fact_recall"], "e", predictions, EXAMPLES)
    assert {score.status for score in without} == {"missing"}


@pytest.mark.parametrize("value", ["{broken", json.dumps([1]), 7, [{"slot": "x"}]])
def test_malformed_facts_are_one_clear_line(value):
    bad = Example("q", "g", ("r",), prompt="p", fields={"facts": value})
    with pytest.raises(DataError, match="example q: column 'facts' does not hold facts"):
        score_predictions(["fact_recall"], "e", [answer("q", "x")], [bad], "facts")
