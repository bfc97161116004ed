"""`harness export`: what is in the folder, whether it is the run's model, and what is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import CANARY, write_project
from huggingface_hub import ModelCard
from shell_calls import Shell

from harness.config import BaseModelSpec

KINDS = ("adapter", "merged", "nf4", "int8", "quantised-merged", "full")


def papers(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "export.json").read_text()))


@pytest.mark.parametrize("name", KINDS)
def test_export_json_names_the_run_and_hashes_every_file(exports: Path, name: str) -> None:
    told = papers(exports / name)
    assert told["schema"] == "harness.export/1" and told["run"].startswith("shop/")
    assert told["kind"] == {"quantised-merged": "merged", "full": "merged"}.get(name, name)
    there = {path.name for path in (exports / name).iterdir()} - {"export.json"}
    assert there == set(told["files"])
    for file, known in told["files"].items():
        assert hashlib.sha256((exports / name / file).read_bytes()).hexdigest() == known


def test_an_adapter_ships_byte_for_byte_as_it_was_evaluated(finished: Path, exports: Path) -> None:
    source = finished / ".harness" / "runs" / papers(exports / "adapter")["train_id"] / "artefact"
    for path in source.iterdir():
        assert (exports / "adapter" / path.name).read_bytes() == path.read_bytes()


def logits(folder: Path, base: Path | None = None) -> Any:
    """Logits of a text by the library alone."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(base or folder, dtype=torch.float32)
    if base is not None:
        model = PeftModel.from_pretrained(model, folder)
    tokenizer = AutoTokenizer.from_pretrained(base or folder)
    with torch.no_grad():
        return model.eval()(**tokenizer("Customer Ada wants tea.", return_tensors="pt")).logits


def test_the_merged_model_is_the_adapter_on_its_base(finished: Path, exports: Path) -> None:
    adapted, plain = logits(exports / "adapter", finished / "base"), logits(finished / "base")
    gap = float((logits(exports / "merged") - adapted).abs().max())
    assert gap < 1e-3 < float((adapted - plain).abs().max())


def test_a_qlora_adapter_is_merged_into_the_base_that_it_was_trained_over(finished: Path, exports: Path) -> None:
    told = papers(exports / "quantised-merged")
    assert told["merged_into"] == "the base as it was trained over (nf4)"
    assert told["largest_change_of_a_logit"] < 1e-3
    source = finished / ".harness" / "runs" / told["train_id"] / "artefact"
    onto_the_original = logits(source, finished / "base")
    assert float((logits(exports / "quantised-merged") - onto_the_original).abs().max()) > 0.01


@pytest.mark.parametrize("name", ["nf4", "int8"])
def test_a_quantised_export_is_quantised_and_loads(exports: Path, name: str) -> None:
    from harness.models.transformers import loading, same_model

    assert loading.quantised_folder(exports / name) == name
    size = [(exports / one / "model.safetensors").stat().st_size for one in (name, "merged")]
    assert size[0] < size[1]
    spec = BaseModelSpec(path=str(exports / name))
    ours, whole = (same_model.probe(loading.load_weights(exports / one, spec, "cpu", None)) for one in (name, "merged"))
    gap = float((ours - whole).abs().max())
    assert gap > 0, "quantisation changes something"


def test_generation_config_and_tokenizer_are_what_was_scored_with(exports: Path) -> None:
    config = json.loads((exports / "merged" / "generation_config.json").read_text())
    assert config["do_sample"] is False and "temperature" not in config and "max_new_tokens" not in config
    for name in ("merged", "nf4", "int8"):
        assert (exports / name / "tokenizer.json").is_file()


@pytest.mark.parametrize("name", KINDS)
def test_the_card_is_read_by_the_library_with_the_stored_results(finished: Path, exports: Path, name: str) -> None:
    from harness.results import queries

    card = ModelCard.load(exports / name / "README.md")
    told = papers(exports / name)
    assert card.data.model_name == told["run"]
    results = {one.metric_type: one for one in card.data.eval_results}
    board = queries.board(finished / ".harness", "shop")
    row = next(row for row in board.rows if row.arm == told["run"].split("/")[1].split("@")[0])
    assert {"rouge_1", "chrf", "exact_match", "perplexity"} <= set(results)
    for metric, one in results.items():
        known = row.cells[metric].estimate
        assert known is not None
        assert one.metric_value == pytest.approx(known.value, rel=1e-5)
        assert one.metric_args["low"] == pytest.approx(known.low, rel=1e-5)
        assert one.metric_args["high"] == pytest.approx(known.high, rel=1e-5)
        assert one.dataset_split == "test" and one.metric_args["examples"] == known.n
    assert "| optimiser steps | 30 |" in card.text
    assert told["artefact"] in card.text and told["eval_id"] in card.text


def test_the_same_run_gives_the_same_bytes(home: Path, exports: Path, tmp_path: Path, shell: Shell) -> None:
    assert shell("export", "shop/lora@0", "--merge", "--dockerfile", "--to", tmp_path / "again").code == 0
    for path in (exports / "merged").iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name


def test_no_path_of_this_machine_leaves(finished: Path, exports: Path) -> None:
    for name in KINDS:
        for path in (exports / name).iterdir():
            assert str(finished).encode() not in path.read_bytes(), path


@pytest.mark.usefixtures("home")
def test_a_folder_that_holds_something_is_refused(tmp_path: Path, shell: Shell) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    found = shell("export", "shop/lora", "--to", tmp_path / "full")
    assert found.code == 2 and "is not an empty folder. Give the name of a new folder" in found.err
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]
    (tmp_path / "empty").mkdir()
    assert shell("export", "shop/lora", "--to", tmp_path / "empty").code == 0


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("shop/untrained",), "has no weights that could ship: it is the base model itself"),
        (("shop/nobody",), "has no arm 'nobody'"),
        (("shop",), "is no run"),
        (("shop/lora", "--quantise", "int3"), "--quantise 'int3' is unknown. Give nf4 or int8"),
        (("shop/lora", "--dockerfile"), "Give --merge with --dockerfile"),
        (("shop/lora", "--base", "nowhere/at/all"), "nowhere/at/all is not a folder"),
    ],
)
def test_what_cannot_be_exported_is_one_line(tmp_path: Path, shell: Shell, words: tuple[str, ...], told: str) -> None:
    found = shell("export", *words, "--to", tmp_path / "x")
    assert found.code == 2 and told in found.err and found.err.count("\n") == 1, found.err
    assert not (tmp_path / "x").exists()


def test_a_pruned_model_is_one_line_with_the_way_on(home: Path, exports: Path, tmp_path: Path, shell: Shell) -> None:
    shutil.rmtree(home / "runs" / papers(exports / "merged")["train_id"] / "artefact")
    found = shell("export", "shop/lora", "--to", tmp_path / "x")
    assert (
        found.code == 2 and "is not on disk any more (keep: all). `harness run shop.yaml` trains it again" in found.err
    )
    assert found.err.count("\n") == 1 and not (tmp_path / "x").exists()


def test_another_base_is_refused(home: Path, tmp_path: Path, shell: Shell, finished: Path) -> None:
    shutil.copytree(finished / "base", tmp_path / "other")
    config = json.loads((tmp_path / "other" / "config.json").read_text())
    (tmp_path / "other" / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 1e-3}))
    found = shell("export", "shop/lora", "--base", tmp_path / "other", "--to", tmp_path / "x")
    assert found.code == 2 and "is not the base model that lora was trained from" in found.err
    shutil.copytree(finished / "base", tmp_path / "moved")
    assert shell("export", "shop/lora", "--base", tmp_path / "moved", "--to", tmp_path / "x").code == 0


@pytest.mark.usefixtures("home")
def test_an_adapter_that_cannot_be_merged_is_one_line(tmp_path: Path, shell: Shell, finished: Path) -> None:
    (tmp_path / "prefix.yaml").write_text(
        f"task: {finished / 'task'}\nbase_model: {finished / 'base'}\narms:\n  - untrained\n"
        "  - {method: peft, name: prefix, type: PROMPT_TUNING, config: {num_virtual_tokens: 4}, evaluations: 1,\n"
        "     optimiser: {learning_rate: 0.3}}\n"
        "budget: {examples: 16}\nresources: {threads: 1, device: cpu}\n"
    )
    assert shell("run", tmp_path / "prefix.yaml").code == 0
    found = shell("export", "prefix/prefix", "--merge", "--to", tmp_path / "x")
    assert found.code == 2 and found.err.count("\n") == 1, found.err
    assert "PROMPT_TUNING adapter" in found.err and "cannot be merged" in found.err and "without --merge" in found.err
    assert not (tmp_path / "x").exists()
    assert shell("export", "prefix/prefix", "--to", tmp_path / "x").code == 0


def test_a_failed_run_is_refused(tmp_path: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch, finished: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "none").mkdir()
    (tmp_path / "broken.yaml").write_text(
        f"task: {finished / 'task'}\nbase_model: none\n"
        "arms: [{method: toy, name: fine}, {method: toy, name: broken, fail: error}]\n"
        "budget: {examples: 4}\nreference: fine\n"
    )
    assert shell("run", "broken.yaml").code == 6
    found = shell("export", "broken/broken", "--to", "x")
    assert found.code == 2 and "has no result: it ended failed" in found.err and found.err.count("\n") == 1
    found = shell("export", "broken/fine", "--to", "x")
    assert found.code == 2 and "a toy arm has no weights" in found.err


def test_of_a_sensitive_task_no_text_and_no_id_leaves(tmp_path: Path, shell: Shell, monkeypatch: Any) -> None:
    write_project(tmp_path, sensitive=True)
    file = tmp_path / "task" / "task.yaml"
    file.write_text(file.read_text().replace("Customer", f"Customer {CANARY}"))
    (tmp_path / "shop.yaml").write_text(
        (tmp_path / "shop.yaml").read_text().split("  - {method: lora, name: sibling")[0]
        + "budget: {examples: 120}\nwinner: {margin: 0.1}\nresources: {threads: 1, device: cpu}\n"
    )
    monkeypatch.chdir(tmp_path)
    assert shell("run", "shop.yaml").code == 0
    assert shell("export", "shop/lora", "--merge", "--dockerfile", "--to", "out").code == 0
    checked = shell("parity", "shop/lora", "--artefact", "out", "--json")
    assert checked.code == 0, checked.out + checked.err
    plain = shell("parity", "shop/lora", "--artefact", "out")
    far = shell("parity", "shop/lora", "--artefact", "http://models.invalid/v1", "--model", "x")
    assert far.code == 2 and "models.invalid is another machine" in far.err and far.err.count("\n") == 1
    for text in (checked.out, checked.err, plain.out, plain.err):
        assert CANARY not in text
    for path in (tmp_path / "out").iterdir():
        if path.name != "tokenizer.json":
            assert CANARY.encode() not in path.read_bytes(), path
    assert CANARY in (tmp_path / "task" / "rows.jsonl").read_text(), "the search finds nothing at all"
