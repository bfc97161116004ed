"""A wrong rule is one line that names the field and the way on; a right one has a name that says what it asks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from gate_worlds import gates_file, rule

from harness.config.gates import SMALLEST_SLICE
from harness.errors import SpecError


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{margin: 0.1}", "rules[0]: a rule is about exactly one of `metric`, `measure`, `flag`, `parity`; found none"),
        ("{metric: rouge_l, flag: fabrication, ceiling: 0.1}", "found metric and flag"),
        ("{metric: rouge_l, measure: money, ceiling: 0.1}", "found metric and measure"),
        ("{metric: rouge_l, margin: 0.1, floor: 1}", "give exactly one of margin, floor and ceiling"),
        ("{metric: rouge_l}", "give exactly one of margin, floor and ceiling"),
        ("{metric: rouge_l, times: 2}", "a metric takes margin, floor or ceiling, no times"),
        ("{metric: rouge_1x, margin: 0.1}", "rules[0].metric: no metric is called 'rouge_1x'. Did you mean 'rouge_1'?"),
        ("{metric: human_winrate, floor: 0.5}", "Did you mean 'human_win_rate'?"),
        ("{metric: rouge_l, floor: 85}", "rules[0].floor: rouge_l lies between 0 and 1, found 85"),
        ("{metric: bleu, margin: 100}", "a margin of 100 passes everything"),
        ("{metric: rouge_l, floor: 0.5, against: untrained}", "`against: untrained` belongs to a metric with a margin"),
        ("{metric: rouge_l, margin: 0.5, against: untraind}", "Did you mean 'untrained'?"),
        ("{metric: rouge_l, margin: 0.5, minimum_votes: 9}", "belong to `metric: human_win_rate`"),
        ("{metric: rouge_l, margin: 0.5, slice: {}}", "rules[0].slice: must not be empty"),
        ("{metric: rouge_l, margin: 0.5, slice: {site: [a]}}", "rules[0].slice.site: must be"),
        ("{metric: retention_perplexity, margin: 1, slice: {site: a}}", "rules[0].slice: retention_perplexity is not"),
        ("{metric: choice/acc, margin: 0.1, slice: {site: a}}", "choice/acc is not about test examples"),
        ("{measure: artefact_byte, ceiling: 9}", "Did you mean 'artefact_bytes'?"),
        ("{measure: artefact_bytes, floor: 9}", "artefact_bytes takes ceiling or times, no floor"),
        ("{measure: tokens_per_second, ceiling: 9}", "tokens_per_second takes floor or times, no ceiling"),
        ("{measure: artefact_bytes, margin: 9}", "artefact_bytes takes ceiling or times, no margin"),
        ("{measure: artefact_bytes, times: 0}", "rules[0].times: must be greater than 0"),
        ("{measure: artefact_bytes, ceiling: -1}", "artefact_bytes is above 0, so a limit of -1 says nothing"),
        ("{measure: artefact_bytes, ceiling: 1, slice: {site: a}}", "`slice` belongs to a metric of the examples"),
        ("{flag: fabrication, floor: 0.1}", "a flag takes ceiling, no floor"),
        ("{flag: fabrication, ceiling: 2}", "a share lies between 0 and 1, found 2"),
        ("{flag: fabrication, ceiling: 0}", "a share lies between 0 and 1, found 0"),
        ("{metric: human_win_rate, margin: 0.1}", "human_win_rate takes floor, no margin"),
        ("{metric: human_win_rate, floor: 50}", "a share lies between 0 and 1, found 50"),
        ("{metric: human_win_rate, floor: 0.5, minimum_examples: 5}", "votes have `minimum_votes`"),
        ("{metric: human_win_rate, floor: 0.5, minimum_agreement: 1}", "minimum_agreement: must be less than 1"),
        ("{metric: rouge_l, margin: 0.1, confidence: 95}", "rules[0].confidence: must be less than 1, found 95"),
    ],
)
def test_a_wrong_rule_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        gates_file(tmp_path, [text])
    said = str(caught.value)
    assert words in said and "\n" not in said
    assert re.search(r"gates\.yaml:3: rules\[0\]", said), said


@pytest.mark.parametrize(
    ("fields", "title"),
    [
        ({"metric": "rouge_l", "margin": 0.02}, "rouge_l margin 0.02"),
        ({"metric": "rouge_l", "floor": 0.5, "slice": {"site": "a", "n": 2}}, "rouge_l [site=a, n=2] floor 0.5"),
        ({"metric": "retention_perplexity", "margin": 1, "against": "untrained"},
         "retention_perplexity against untrained margin 1"),
        ({"measure": "artefact_bytes", "times": 1.1}, "artefact_bytes times 1.1"),
        ({"flag": "fabrication", "ceiling": 0.02}, "flag fabrication ceiling 0.02"),
        ({"metric": "human_win_rate", "floor": 0.5, "name": "people"}, "people"),
    ],
)  # fmt: skip
def test_names_say_what_is_asked(fields: dict[str, object], title: str) -> None:
    assert rule(**fields).title == title


def test_a_slice_asks_for_examples_unless_it_says_otherwise() -> None:
    assert rule(metric="rouge_l", margin=0.1).least == 0
    assert rule(metric="rouge_l", margin=0.1, slice={"a": 1}).least == SMALLEST_SLICE
    assert rule(metric="rouge_l", margin=0.1, slice={"a": 1}, minimum_examples=3).least == 3
    assert rule(metric="human_win_rate", floor=0.5, minimum_votes=80).least == 80


def test_two_rules_about_two_slices_are_two_rules(tmp_path: Path) -> None:
    spec = gates_file(tmp_path, [f"{{metric: rouge_l, margin: 0.1, slice: {{site: {site}}}}}" for site in "ab"])
    assert [one.title for one in spec.rules] == ["rouge_l [site=a] margin 0.1", "rouge_l [site=b] margin 0.1"]
