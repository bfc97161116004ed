"""Entry points: a package that is built and installed here adds a method, a metric and an executor."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
TASK = """
name: echo
data: {path: rows.jsonl, licence: CC0-1.0}
id: id
prompt: "Say: {{ words }}"
target: "{{ words }}"
splits: {test: 0.3, validation: 0.1}
generate: {max_new_tokens: 20}
metrics: {primary: exact_match, also: [answer_words]}
"""
EXPERIMENT = f"""
task: task
base_model: {ROOT / "baselines" / "base"}
arms:
  - {{method: toy, name: weak, skill: 0.2}}
  - {{method: parrot, name: polly, skill: 0.9}}
budget: {{examples: 10}}
reference: weak
resources: {{executor: one_by_one}}
"""


def install(source: Path, to: Path) -> Path:
    """Build the package in `source` without a network, and install it into the folder `to`."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*command, "--target", str(to), str(source)], check=True, capture_output=True)
    return to


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package installed in it."""
    source = shutil.copytree(ROOT / "tests" / "plugin", tmp_path_factory.mktemp("source") / "plugin")
    return install(source, tmp_path_factory.mktemp("site"))


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A folder with a task that names the package's metric and an experiment that names its method and executor."""
    (tmp_path / "task").mkdir()
    rows = [{"id": f"e{n}", "words": f"{n * 7919} {n * 104729}"} for n in range(1, 61)]
    (tmp_path / "task" / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "task" / "task.yaml").write_text(TASK)
    (tmp_path / "toys.yaml").write_text(EXPERIMENT)
    return tmp_path


def call(folder: Path, site: Path | None, *words: str) -> subprocess.CompletedProcess[str]:
    """`harness WORDS…` in a process that finds the packages in `site`."""
    path = os.pathsep.join([str(ROOT), *([str(site)] if site else [])])
    command = [sys.executable, "-m", "harness", *words]
    return subprocess.run(command, cwd=folder, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)


def plain(folder: Path, site: Path | None, *words: str) -> Any:
    answer = call(folder, site, *words, "--json")
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def plan_ids(folder: Path) -> dict[str, str]:
    """Arm → identity of its training."""
    plans = [json.loads(path.read_text()) for path in folder.glob(".harness/runs/*/plan.json")]
    return {plan["arm_name"]: plan["train_id"] for plan in plans}


def test_a_package_is_listed_with_what_it_adds(package: Path, tmp_path: Path) -> None:
    added = {row["name"]: row for row in plain(tmp_path, package, "metrics")["metrics"]}["answer_words"]
    assert (added["package"], added["direction"], added["unit"]) == ("harness-extra 1.2.0", "lower", "words")
    parrot = {row["method"]: row for row in plain(tmp_path, package, "arms")["methods"]}["parrot"]
    fields = {row["field"]: row for row in parrot["fields"]}
    assert parrot["package"] == "harness-extra 1.2.0"
    assert (fields["feathers"]["type"], fields["feathers"]["default"]) == ("whole number", 7)
    assert "parrot" not in call(tmp_path, None, "arms").stdout


def test_a_run_uses_all_three_and_the_board_needs_the_package_no_more(package: Path, world: Path) -> None:
    board = plain(world, package, "run", "toys.yaml")
    assert [row["arm"] for row in board["rows"]][:2] == ["polly", "weak"]  # and the untrained base
    words = board["rows"][0]["metrics"]["answer_words"]["estimate"]
    assert words["value"] == 2.0
    assert (world / "executed.txt").read_text().split() == ["untrained", "weak", "polly"]
    shutil.rmtree(world / ".harness" / "boards")
    without = plain(world, None, "leaderboard", "toys")
    assert without["rows"][0]["metrics"]["answer_words"]["estimate"] == words
    gone = call(world, None, "check", "toys.yaml")
    assert gone.returncode == 2 and "unknown method 'parrot'" in gone.stderr and gone.stderr.count("\n") == 1


@pytest.mark.real
def test_another_version_of_the_package_is_another_training_and_metric(
    package: Path, world: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    plain(world, package, "run", "toys.yaml")
    before = plan_ids(world)
    shutil.rmtree(world / ".harness" / "runs")
    source = shutil.copytree(ROOT / "tests" / "plugin", tmp_path_factory.mktemp("source") / "plugin")
    project = source / "pyproject.toml"
    project.write_text(project.read_text().replace("1.2.0", "1.3.0"))
    newer = install(source, tmp_path_factory.mktemp("site"))
    plain(world, newer, "run", "toys.yaml")
    after = plan_ids(world)
    assert after["weak"] == before["weak"] and after["polly"] != before["polly"]
    versions = [
        {row["name"]: row["version"] for row in plain(world, site, "metrics")["metrics"]} for site in (package, newer)
    ]
    changed = [name for name in versions[0] if versions[0][name] != versions[1][name]]
    assert changed == ["answer_words"]


@pytest.mark.parametrize(
    ("old", "new", "file", "wanted"),
    [
        ("VERSION = 3", "import nothing_of_this_name", "parrot.py", "cannot be imported: ModuleNotFoundError"),
        ("class Spec", "class Other", "parrot.py", "has no Spec"),
        ('"harness_extra.parrot"', '"harness_extra.parrot"\nlora = "harness_extra.parrot"', "", "'lora'"),
    ],
    ids=["import fails", "no fields", "built-in name"],
)
def test_a_broken_package_is_one_clear_line(
    package: Path, tmp_path: Path, world: Path, old: str, new: str, file: str, wanted: str
) -> None:
    site = shutil.copytree(package, tmp_path / "broken")
    path = site / "harness_extra" / file if file else next(site.glob("*.dist-info")) / "entry_points.txt"
    text = path.read_text()
    if not file:  # the installed file has no quotes
        old, new = old.replace('"', ""), new.replace('"', "")
    assert old in text
    path.write_text(text.replace(old, new))
    for words in (["arms"], ["check", "toys.yaml"]):
        answer = call(world, site, *words)
        lines = answer.stderr.splitlines()
        assert (answer.returncode, len(lines)) == (2, 1), answer.stderr
        assert wanted in lines[0] and "harness-extra" in lines[0]


def test_an_unknown_executor_is_refused(world: Path) -> None:
    answer = call(world, None, "check", "toys.yaml")
    assert answer.returncode == 2
    spec = world / "toys.yaml"
    spec.write_text(EXPERIMENT.replace("method: parrot", "method: toy"))
    answer = call(world, None, "check", "toys.yaml")
    assert answer.returncode == 2 and "resources.executor" in answer.stderr and "inline, processes" in answer.stderr
