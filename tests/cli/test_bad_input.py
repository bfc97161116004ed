"""Bad input in a shell: one clear line, the exit code, no traceback, and nothing that was stored is lost."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from shell_calls import Shell

from harness.results import queries


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def refused(shell: Shell, command: str, wanted: str, code: int = 2) -> None:
    """`command` ends with `code` and one line on standard error that matches `wanted`."""
    answer = shell(*command.split())
    lines = [line for line in answer.err.splitlines() if line.startswith("harness: ")]
    assert answer.code == code, answer.err
    assert len(lines) == 1, answer.err
    assert re.search(wanted, lines[0]), lines[0]
    assert "Traceback" not in answer.err


SPECS = {
    "unknown field": ("toys.yaml", "budget:", "buget:", r"toys\.yaml:7: buget: .*budget"),
    "wrong type": ("toys.yaml", "seeds: [0]", "seeds: zero", r"toys\.yaml:6: seeds: .*list"),
    "budget of zero": ("toys.yaml", "examples: 10", "examples: 0", r"toys\.yaml:7: budget\.examples: .*greater"),
    "unknown metric": ("task/task.yaml", "rouge_l", "rouge_x", r"task\.yaml:9: metrics\.also.*rouge_"),
    "unknown method": ("toys.yaml", "method: toy, name: weak", "method: lara, name: weak", r"toys\.yaml:4: .*lora"),
    "unknown task": ("toys.yaml", "task: task", "task: visit_note", r"toys\.yaml:1: task: .*visit_notes"),
    "missing column": ("task/task.yaml", "group: group", "group: grup", r"task\.yaml:4: group: .*'grup'.*group"),
    "template names no column": ("task/task.yaml", "Say: {{ words", "Say: {{ wrds", r"yaml:5: prompt: .*wrds.*words"),
    "template reaches inside": (
        "task/task.yaml",
        '{{ words }}"\nt',
        '{{ words.__class__ }}"\nt',
        r"yaml:5: .*internals",
    ),
    "empty split": ("task/task.yaml", "test: 0.3", "test: 0.000001", r"test split is empty"),
}


@pytest.mark.parametrize("name", SPECS)
def test_file_is_wrong(spoiled: Path, shell: Shell, name: str) -> None:
    file, old, new, wanted = SPECS[name]
    edit(spoiled / file, old, new)
    refused(shell, "run toys.yaml", wanted)


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ('{"id": "e1", "group": "g9", "words": "again"}', r"rows\.jsonl.*e1.*twice|duplicate|e1"),
        ('{"id": "e99", "group": ', r"rows\.jsonl:61: .*JSON"),
    ],
    ids=["duplicate id", "broken line"],
)
def test_row_is_wrong(spoiled: Path, shell: Shell, row: str, wanted: str) -> None:
    with (spoiled / "task" / "rows.jsonl").open("a") as out:
        out.write(row + "\n")
    refused(shell, "run toys.yaml", wanted)


def test_leaking_splits_stop_the_run_and_name_the_way_on(spoiled: Path, shell: Shell) -> None:
    rows = (spoiled / "task" / "rows.jsonl").read_text().splitlines()
    for name, part in (("train", rows[:40]), ("validation", rows[40:50]), ("test", [*rows[50:], rows[0]])):
        (spoiled / "task" / f"{name}.jsonl").write_text("\n".join(part) + "\n")
    task = spoiled / "task" / "task.yaml"
    edit(task, "path: rows.jsonl", "files: {train: train.jsonl, validation: validation.jsonl, test: test.jsonl}")
    edit(task, "splits: {test: 0.3, validation: 0.2}\n", "")
    refused(shell, "run toys.yaml", r"train/e1.*test/e1|test/e1.*train/e1")
    edit(task, "generate:", "leakage: {drop: train}\ngenerate:")
    answer = shell("run", "toys.yaml")
    assert answer.code == 0
    assert "1 examples dropped" in answer.err and "train/e1" in answer.err


def test_base_is_no_model_folder(spoiled: Path, shell: Shell) -> None:
    (spoiled / "empty").mkdir()
    edit(spoiled / "real.yaml", "base_model: ", "base_model: empty  # ")
    refused(shell, "run real.yaml", r"empty.*no config\.json")


def test_pickled_weights_are_refused(spoiled: Path, shell: Shell) -> None:
    folder = spoiled / "pickled"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    edit(spoiled / "real.yaml", "base_model: ", "base_model: pickled  # ")
    refused(shell, "run real.yaml", r"pytorch_model\.bin.*safetensors only")


def test_unknown_hub_model_says_how_to_log_in(spoiled: Path, shell: Shell) -> None:
    edit(spoiled / "real.yaml", "base_model: ", "base_model: nobody/nothing-of-this-name  # ")
    refused(shell, "run real.yaml", r"nobody/nothing-of-this-name.*hf auth login")


def test_target_longer_than_the_context(spoiled: Path, shell: Shell) -> None:
    edit(spoiled / "task" / "task.yaml", 'target: "{{ words }}"', 'target: "{{ words * 400 }}"')
    refused(shell, "run real.yaml", r"example e\d+: its target is \d+ tokens long, the context 2048")


def test_adapter_of_another_base(spoiled: Path, shell: Shell) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    other = LlamaForCausalLM(
        LlamaConfig(vocab_size=64, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
    )
    get_peft_model(other, LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(str(spoiled / "adapter"))
    edit(spoiled / "real.yaml", "arms: [untrained]", "arms: [{method: imported, name: theirs, path: adapter}]")
    refused(shell, "run real.yaml", r"adapter.*another base")


def test_newer_database_is_left_alone(spoiled: Path, shell: Shell) -> None:
    import duckdb

    assert shell("run", "toys.yaml").code == 0
    database = queries.database(Path(".harness"))
    with duckdb.connect(str(database)) as connection:
        connection.execute("INSERT INTO schema_migrations SELECT 99, 'later', applied FROM schema_migrations LIMIT 1")
    before = database.read_bytes()
    refused(shell, "leaderboard", r"newer|99")
    assert database.read_bytes() == before


def test_nothing_stored_is_lost_by_a_bad_file(spoiled: Path, shell: Shell) -> None:
    assert shell("run", "toys.yaml").code == 0
    before = shell("leaderboard", "--json").out
    edit(spoiled / "toys.yaml", "budget:", "buget:")
    refused(shell, "run toys.yaml", "buget")
    assert shell("leaderboard", "--json").out == before


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_full_disk_ends_with_its_own_code_and_goes_on_later(spoiled: Path) -> None:
    home = spoiled / "disk"
    home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(home)], check=True)
    try:
        (home / "ballast").write_bytes(b"x" * 15_000_000)
        command = [sys.executable, "-m", "harness", "run", "toys.yaml", "--home", str(home)]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        assert answer.returncode == 74, answer.stderr
        assert "no space left" in answer.stderr and "Traceback" not in answer.stderr
        (home / "ballast").unlink()
        assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    finally:
        subprocess.run(["umount", str(home)], check=True)


def test_usage_errors(spoiled: Path, shell: Shell) -> None:
    refused(shell, "runn toys.yaml", r"No such command 'runn'")
    refused(shell, "run", r"Missing argument")
    refused(shell, "run nothing.yaml", r"nothing\.yaml: no such file")
    refused(shell, "leaderboard", r"no results yet.*harness run")


def test_unknown_names_get_the_nearest(spoiled: Path, shell: Shell) -> None:
    assert shell("run", "toys.yaml").code == 0
    refused(shell, "compare stong weak", r"stong.*strong")
    refused(shell, "leaderboard toyz", r"toyz.*toys")
    refused(shell, "score --metric rouge_9", r"rouge_9.*rouge_")
