"""`harness parity` over a finished experiment of a tiny real model: what passes, fails, and is never believed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from fake_server import said, serving
from shell_calls import Answer, Shell


def parity(shell: Shell, place: object, *options: object, run: str = "shop/lora") -> tuple[dict[str, Any], Answer]:
    """What it printed as JSON, and its exit code."""
    found = shell("parity", run, "--artefact", place, "--json", *options)
    assert found.out, found.err
    told = dict(json.loads(found.out))
    assert told["schema"] == "harness.parity/1" and told["exit_code"] == found.code
    return told, found


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("folder", "run"), [("merged", "lora"), ("adapter", "lora"), ("quantised-merged", "quantised"), ("full", "full")]
)
def test_what_was_exported_in_full_precision_is_equivalent(exports: Path, shell: Shell, folder: str, run: str) -> None:
    told, found = parity(shell, exports / folder, run=f"shop/{run}")
    assert (found.code, told["outcome"]) == (0, "EQUIVALENT"), told["words"]
    assert told["kind"] == ("adapter" if folder == "adapter" else "merged")
    assert told["same_answers"] >= 0.95 * told["answers"] > 0
    assert abs(told["difference"]["value"]) <= told["difference"]["high"] - told["difference"]["low"] + 1e-12
    assert told["margin"] == 0.1, "the winner rule's"
    bases = [one for one in told["closeness"] if one["base"]]
    assert {one["by"] for one in bases} == {"answers", "likelihoods"}
    assert all(one["estimate"]["low"] > 0 for one in bases)


@pytest.mark.usefixtures("home")
def test_the_base_in_place_of_the_adapter_is_different_whatever_the_margin(
    finished: Path, exports: Path, tmp_path: Path, shell: Shell
) -> None:
    shutil.copytree(finished / "base", tmp_path / "model")
    for margin in (0.01, 1000):
        told, found = parity(shell, tmp_path / "model", "--margin", margin)
        assert (found.code, told["outcome"], told["impostor"]) == (1, "DIFFERENT", "untrained")


@pytest.mark.usefixtures("home")
def test_a_planted_swap_of_two_adapters_is_different_whatever_the_margin(
    exports: Path, tmp_path: Path, shell: Shell
) -> None:
    swapped = tmp_path / "swapped"
    shutil.copytree(exports / "adapter", swapped)
    (swapped / "export.json").unlink()
    shutil.copyfile(exports.parent / exports.name / "adapter" / "adapter_config.json", swapped / "adapter_config.json")
    source = json.loads((exports / "sibling-merged" / "export.json").read_text())["train_id"]
    home = Path(__import__("os").environ["HARNESS_HOME"])
    shutil.copyfile(
        home / "runs" / source / "artefact" / "adapter_model.safetensors", swapped / "adapter_model.safetensors"
    )
    for place in (swapped, exports / "sibling-merged"):
        told, found = parity(shell, place, "--margin", 1000)
        assert found.code != 0 and told["outcome"] != "EQUIVALENT"
    told, found = parity(shell, swapped, "--margin", 1000)
    assert (found.code, told["impostor"]) == (1, "sibling@0"), told["words"]


@pytest.mark.usefixtures("home")
def test_papers_of_another_run_and_changed_files_are_invalid_and_cost_no_look(
    exports: Path, tmp_path: Path, shell: Shell
) -> None:
    looks = shell("looks", "shop").out
    told, found = parity(shell, exports / "sibling-merged")
    assert (found.code, told["outcome"]) == (4, "INVALID") and "exported from shop/sibling@0" in told["words"]
    shutil.copytree(exports / "merged", tmp_path / "m")
    shutil.copyfile(exports / "sibling-merged" / "model.safetensors", tmp_path / "m" / "model.safetensors")
    told, found = parity(shell, tmp_path / "m")
    assert found.code == 4 and "model.safetensors is not the file that was exported" in told["words"]
    (tmp_path / "m" / "model.safetensors").unlink()
    found = shell("parity", "shop/lora", "--artefact", tmp_path / "m")
    assert found.code == 2 and "has no *.safetensors weights" in found.err
    assert shell("looks", "shop").out == looks


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("name", ["nf4", "int8"])
def test_a_quantised_exports_difference_has_an_interval(exports: Path, shell: Shell, name: str) -> None:
    told, _ = parity(shell, exports / name, "--margin", 0.5)
    assert told["kind"] == name and told["impostor"] == "", told["words"]
    estimate = told["difference"]
    assert estimate["low"] < estimate["value"] < estimate["high"] and estimate["level"] == pytest.approx(0.9)
    tight, again = parity(shell, exports / name, "--margin", 1e-4)
    assert tight["difference"] == estimate and again.code in (1, 3)
    if again.code == 3:
        assert tight["more_examples"] is None or tight["more_examples"] > 0


def test_a_look_is_counted_and_everything_is_stored_and_rebuilt(home: Path, exports: Path, shell: Shell) -> None:
    from harness.results import queries

    before = len(queries.looks(home, "shop"))
    told, _ = parity(shell, exports / "merged")
    parity(shell, exports / "merged", "--metric", "chrf", "--margin", "5")
    looks = queries.looks(home, "shop")
    assert len(looks) == before + 2 and {look.why for look in looks[before:]} == {"harness parity: merged"}
    checks = queries.open_store(home).parities(told["eval_id"])
    assert [(one.metric, one.primary) for one in checks] == [("rouge_1", True), ("chrf", False)]
    assert queries.open_store(home).scores([told["after"]]), "what ships has scores of its own"
    board = shell("leaderboard", "shop").out
    for path in home.glob("harness.duckdb*"):
        path.unlink()
    assert shell("store", "rebuild").code == 0
    assert queries.open_store(home).parities(told["eval_id"]) == checks
    assert len(queries.looks(home, "shop")) == before + 2
    assert shell("leaderboard", "shop").out == board, "what ships is no arm"


def answers_of(home: Path, arm: str) -> dict[str, str]:
    """Prompt text → stored answer of an arm."""
    from harness.results import queries

    store = queries.open_store(home)
    record = queries.find(store, "shop")
    entry = next(entry for entry in store.entries(record.experiment_id) if entry.arm == arm)
    examples = queries.sealed_examples(home, record)
    return {str(examples[row.example].prompt): row.text for row in store.predictions([str(entry.eval_id)])}


@pytest.mark.parametrize(("arm", "code", "impostor"), [("lora", 0, ""), ("untrained", 1, "untrained")])
def test_a_server_is_told_by_its_answers(home: Path, shell: Shell, arm: str, code: int, impostor: str) -> None:
    known = answers_of(home, arm)

    def answer(body: dict[str, Any]) -> Any:
        return said(known.get(body["prompt"], "something"))

    with serving(answer) as server:
        told, found = parity(shell, server.url, "--model", "m", "--margin", "0.4")
        first = len(server.bodies)
        parity(shell, server.url, "--model", "m", "--margin", "0.4")
        assert len(server.bodies) == 2 * first > 20, "a server is asked anew each time"
    assert (found.code, told["kind"], told["impostor"]) == (code, "endpoint", impostor), told["words"]
    assert {one["by"] for one in told["closeness"]} == {"answers"}


@pytest.mark.usefixtures("home")
def test_a_metric_that_a_server_cannot_have_is_invalid(shell: Shell) -> None:
    with serving(lambda body: said("x")) as server:
        told, found = parity(shell, server.url, "--model", "m", "--metric", "perplexity", "--margin", "1")
    assert found.code == 4 and "has no value of perplexity" in told["words"]


def test_another_tokenizer_is_invalid(home: Path, exports: Path, tmp_path: Path, shell: Shell) -> None:
    shutil.copytree(exports / "merged", tmp_path / "m")
    (tmp_path / "m" / "export.json").unlink()
    config = tmp_path / "m" / "tokenizer.json"
    plain = json.loads(config.read_text())
    plain["model"]["merges"] = plain["model"]["merges"][: len(plain["model"]["merges"]) // 2]
    config.write_text(json.dumps(plain))
    told, found = parity(shell, tmp_path / "m")
    assert found.code == 4 and "prompts are not the run's" in told["words"]


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--artefact", "nowhere"), "is not a folder"),
        (("--artefact", "http://127.0.0.1:9/v1"), "Say which with --model NAME"),
        (("--artefact", "http://127.0.0.1:9/v1?key=1", "--model", "m"), "without user, password, query"),
        (("--artefact", "ADAPTER", "--margin", "0"), "is no margin"),
        (("--artefact", "ADAPTER", "--margin", "nan"), "is no margin"),
        (("--artefact", "ADAPTER", "--metric", "chrf"), "no margin is known for chrf. Give --margin"),
        (("--artefact", "ADAPTER", "--metric", "chrff"), "no metric is called"),
        (("--artefact", "ADAPTER", "--confidence", "0.3"), "--confidence 0.3 is none"),
    ],
)
def test_bad_input_is_one_line(exports: Path, shell: Shell, words: tuple[str, ...], told: str) -> None:
    given = [str(exports / "adapter") if word == "ADAPTER" else word for word in words]
    found = shell("parity", "shop/lora", *given)
    assert found.code == 2 and told in found.err and found.err.count("\n") == 1, found.err


@pytest.mark.usefixtures("home")
def test_lines_say_what_json_says(exports: Path, shell: Shell) -> None:
    told, _ = parity(shell, exports / "merged")
    found = shell("parity", "shop/lora", "--artefact", exports / "merged")
    lines = found.out.splitlines()
    assert found.code == 0 and lines[-1] == f"EQUIVALENT: {told['words']}"
    assert f"  same answers: {told['same_answers']} of {told['answers']}" in found.out
