"""Bundles from the command line, of a real store."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from shell_calls import Shell


def test_from_the_command_line(shell: Shell, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    assert shell("run", "toys.yaml").code == 0
    board, ledger = shell("leaderboard").out, shell("ledger").out
    made = shell("bundle", "toys.yaml")
    assert made.code == 0 and made.out.startswith("wrote toys.bundle.zip: "), made.err
    first = Path("toys.bundle.zip").read_bytes()
    assert shell("bundle").out == made.out and Path("toys.bundle.zip").read_bytes() == first
    with zipfile.ZipFile("toys.bundle.zip") as archive:
        assert str(project).encode() not in b"".join(map(archive.read, archive.namelist()))
    (project / ".harness").rename(project / "gone")
    checked = shell("bundle", "--check", "toys.bundle.zip")
    assert checked.code == 0 and "tables/ledger.json" in checked.out
    assert shell("leaderboard", "--bundle", "toys.bundle.zip").out == board
    assert shell("ledger", "--bundle", "toys.bundle.zip").out == ledger
    (project / "gone").rename(project / ".harness")
    refused = shell("bundle", "--out", "task/task.yaml")
    assert refused.code == 2 and "exists and is no bundle" in refused.err
    assert "name: echo" in Path("task/task.yaml").read_text()


TUNED = """
task: task
base_model: none
arms:
  - {method: toy, name: still, skill: 0.2}
  - {method: toy, name: near, skill: 0.9, learning_rate: 1.0e-2, best_rate: 2.0e-2, half_data: 5}
seeds: [0]
budget: {examples: 90}
tuning: {trials: 3, learning_rate: log}
data_fraction: [0.5, 1.0]
reference: still
"""


def test_tuning_curves_settings_and_figures_come_from_the_bundle_alone(
    shell: Shell, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    (project / "tuned.yaml").write_text(TUNED)
    assert shell("run", "tuned.yaml").code == 0
    said = {name: shell(name).out for name in ("tuning", "curve", "appendix")}
    as_csv = shell("appendix", "--format", "csv").out
    assert shell("bundle", "tuned.yaml", "--out", "b.zip").code == 0
    with zipfile.ZipFile("b.zip") as archive:
        tables = {name: archive.read(name).decode() for name in archive.namelist() if name.startswith("tables/")}
        logs = [json.loads(line) for line in archive.read("results/logs.jsonl").decode().splitlines()]
        assert json.loads(archive.read("manifest.json"))["schema"] == "harness.bundle/2"
    assert tables["tables/tuning.txt"] == said["tuning"] and tables["tables/curve.txt"] == said["curve"]
    assert tables["tables/appendix.md"] == said["appendix"] and tables["tables/appendix.csv"] == as_csv
    assert {"tables/tuning.json", "tables/curve.json", "tables/figure-cost.csv", "tables/figure-training.csv"} < set(
        tables
    )
    assert {len(log["rows"]) for log in logs} == {1} and len(logs) == 2
    assert tables["tables/figure-tuning.csv"].count("\nnear,") == 3
    (project / ".harness").rename(project / "gone")
    checked = shell("bundle", "--check", "b.zip")
    assert checked.code == 0 and "tables/tuning.txt" in checked.out, checked.err
    assert shell("appendix", "--bundle", "b.zip").out == said["appendix"]
    assert "| toy: Knowledge" not in said["appendix"] and "## toy: Knowledge" in said["appendix"]


def test_figures_of_a_store_and_of_its_bundle_are_the_same_bytes(
    shell: Shell, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(project)
    assert shell("run", "toys.yaml").code == 0
    made = shell("figures", "toys.yaml", "--out", "one", "--format", "svg")
    assert made.code == 0 and "wrote one/forest.svg" in made.out and "no tuning: " in made.out, made.err
    assert shell("bundle", "toys.yaml").code == 0
    assert shell("figures", "--bundle", "toys.bundle.zip", "--out", "two", "--format", "svg").code == 0
    names = sorted(path.name for path in Path("one").iterdir())
    assert names == ["cost.svg", "forest.svg", "metrics.svg"]
    assert all((Path("one") / name).read_bytes() == (Path("two") / name).read_bytes() for name in names)
    assert shell("figures", "--format", "gif").code == 2 and shell("appendix", "--format", "gif").code == 2
