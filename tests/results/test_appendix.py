"""The appendix of settings: recipes, what tuning chose, what libraries were given, what differs from a default."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from typing import Any

import pytest

from harness.records import Evaluation, LibraryConfig, Trial, to_json
from harness.results.collect import Results
from harness.results.render.studies import APPENDIX_FORMS
from harness.results.studies.appendix import Appendix, appendix

LORA = LibraryConfig("peft", "LoraConfig", {"r": 16, "bias": "none", "target_modules": ["q", "v"]}, {"r": 8})
LOADING = LibraryConfig("transformers", "Model.from_pretrained", {"dtype": "float32"}, has_default=False)
DECODING = LibraryConfig("transformers", "GenerationConfig", {"do_sample": False, "top_k": 50}, {"do_sample": None})


def trial(**changes: Any) -> Trial:
    made = Trial(
        experiment_id="x1",
        arm="lora",
        number=1,
        rung=0,
        train_id="t",
        seed=1000,
        values={"learning_rate": 4e-3, "r": 16},
        space={},
        stock=False,
        share=1.0,
        status="ok",
        error=None,
        metric="rouge_l",
        value=0.5,
        loss=None,
        validated=9,
        examples=200,
        seconds=1.0,
        chosen=True,
    )
    return replace(made, **changes)


def settled(maker: Any) -> Results:
    """The made-up experiment, with settings of lora, and full trained by an older harness."""
    runs = []
    for run in maker.runs:
        seen = () if run.arm != "lora" else (replace(LORA, values={**LORA.values, "r": 16}), LOADING)
        versions = {"peft": "0.21.2" if run.arm != "dpo" else "0.22.0"}
        runs.append(replace(run, provenance=replace(run.provenance, configs=seen, packages=versions)))
    results: Results = replace(maker.results, runs=runs, trials=[trial()])
    spec = {
        **results.experiment.spec,
        "base_model": {"path": "/srv/models/base", "dtype": "float32"},
        "chat": {"system": "Answer in French."},
        "arms": [
            {"method": "untrained", "prompt": "Tell me:\n{{ x }}"},
            {
                "method": "lora",
                "optimiser": {"learning_rate": 1e-2, "schedule": "cosine"},
                "lora": {"r": 16, "target_modules": "all-linear"},
                "search": {},
            },
        ],
    }
    evaluation = Evaluation("eval-lora-0", "train-lora-0", "h", "s", {"config": to_json(DECODING)}, {}, "now")
    return replace(results, experiment=replace(results.experiment, spec=spec), evaluations=[evaluation])


@pytest.fixture
def found(maker: Any) -> Appendix:
    return appendix(settled(maker))


def setting(found: Appendix, block: str, name: str) -> Any:
    blocks = {one.title: one for one in (found.recipes, *found.libraries)}
    return next(one for one in blocks[block].settings if one.name == name)


def test_recipes_show_what_tuning_chose_in_place_of_what(found: Appendix) -> None:
    rate = setting(found, "recipes", "optimiser.learning_rate").values["lora"]
    assert (rate.text, rate.recipe) == ("0.004", "0.01")
    assert setting(found, "recipes", "lora.r").values["lora"].recipe == ""
    assert setting(found, "recipes", "prompt").values["untrained"].text == "own"


def test_library_settings_are_those_that_were_stored(found: Appendix) -> None:
    r = setting(found, "LoraConfig", "r")
    assert (r.values["lora"].text, r.values["lora"].differs, r.default) == ("16", True, "8")
    assert [one.name for one in next(b for b in found.libraries if b.title == "LoraConfig").untouched] == [
        "bias",
        "target_modules",
    ]
    assert setting(found, "Model.from_pretrained", "dtype").default is None
    assert setting(found, "GenerationConfig", "do_sample").values["lora"].differs


def test_arms_without_stored_settings_are_named_in_one_line(found: Appendix) -> None:
    assert found.notes == (
        "the library settings of full, dpo were not stored: trained by an older harness, so they stay out",
    )
    assert dict(found.versions)["peft"] == "0.21.2 (untrained, few_shot, full, lora, qlora); 0.22.0 (dpo)"


def test_nothing_of_the_machine_and_no_prompt_is_in_it(maker: Any) -> None:
    found = appendix(settled(maker))
    for form, make in APPENDIX_FORMS.items():
        text = make(found)
        assert "/srv" not in text and "French" not in text and "Tell me" not in text, form
        assert make(appendix(settled(maker))) == text
    assert dict(found.shared)["base_model.path"] == "base" and dict(found.shared)["chat.system"] == "own"


def test_markdown_marks_what_differs_and_lists_the_rest(found: Appendix) -> None:
    text = APPENDIX_FORMS["markdown"](found)
    assert "| r | - | - | - | 16\\* | - | - | 8 |" in text
    assert "| optimiser.learning_rate | - | - | - | 0.004 (tuned; recipe 0.01) | - | - |" in text
    assert "As the library has them: bias none, target_modules" in text


def test_latex_has_balanced_tables_and_no_open_commands(found: Appendix) -> None:
    text = APPENDIX_FORMS["latex"](found)
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") >= 4
    assert r"optimiser.learning\_rate" in text and r"\texttt{LoraConfig}" in text
    for block in text.split(r"\begin{tabular}")[1:]:
        body = block.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
        columns = block[1 : block.index("}")]
        assert {line.count(" & ") for line in body} == {len(columns) - 1}


def test_csv_has_a_row_for_each_setting_of_each_arm(found: Appendix) -> None:
    rows = list(csv.DictReader(io.StringIO(APPENDIX_FORMS["csv"](found))))
    one = next(row for row in rows if (row["part"], row["setting"]) == ("LoraConfig", "r"))
    assert (one["arm"], one["value"], one["default"], one["differs"], one["library"]) == (
        "lora",
        "16",
        "8",
        "true",
        "peft",
    )
    bias = next(row for row in rows if row["setting"] == "bias")
    assert bias["differs"] == "false"
    assert next(row for row in rows if row["setting"] == "dtype" and row["arm"])["differs"] == ""


def test_seeds_that_differ_show_all_their_values(make: Any) -> None:
    maker = make(examples=8, seeds=(0, 1))
    configs = [(LORA,), (replace(LORA, values={**LORA.values, "r": 4}),)]
    found = iter(configs)
    runs = [
        replace(run, provenance=replace(run.provenance, configs=next(found))) if run.arm == "lora" else run
        for run in maker.runs
    ]
    shown = appendix(replace(maker.results, runs=runs))
    assert setting(shown, "LoraConfig", "r").values["lora"].text == "16 / 4"
