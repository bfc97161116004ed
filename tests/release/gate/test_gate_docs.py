"""The workflow to copy and the hook of the manual's page on gates, and what `check` says of a gates file."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from shell_calls import Shell

from harness.cli.main import app

ROOT = Path(__file__).parents[3]
WORKFLOW = ROOT / ".github" / "workflows" / "gate.yml"


def commands() -> list[str]:
    """Every call of `harness` in the workflow and the hooks; those of the page are in tests/docs."""
    steps = yaml.safe_load(WORKFLOW.read_text())["jobs"]["gate"]["steps"]
    lines = [step["run"] for step in steps if "run" in step]
    lines += [hook["entry"] for repository in hooks()["repos"] for hook in repository["hooks"]]
    return [line for line in lines if line.startswith("harness ")]


def hooks() -> dict[str, Any]:
    page = (ROOT / "docs" / "gates.md").read_text()
    [text] = [block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "pre-commit" in block]
    return dict(yaml.safe_load(text))


def test_the_workflow_gates_and_keeps_its_reports() -> None:
    # YAML 1.1 takes the key `on` for true.
    flow = yaml.safe_load(WORKFLOW.read_text())
    assert set(flow[True]) == {"workflow_dispatch", "workflow_call"} and flow["permissions"] == {"contents": "read"}
    job = flow["jobs"]["gate"]
    names = {"candidate", "gates"}
    assert all(set(one["inputs"]) == names for one in flow[True].values())
    runs = [step["run"] for step in job["steps"] if "run" in step]
    assert not any("${{" in run for run in runs), "an input in a command line could be a command"
    assert set(re.findall(r"\$([A-Z_]+)", " ".join(runs))) <= {*job["env"], "GITHUB_STEP_SUMMARY"}
    assert any(step.get("if") == "always()" and "gate.md" in step.get("run", "") for step in job["steps"])


def test_every_command_and_option_exists() -> None:
    known: Any = typer.main.get_command(app)
    found = commands()
    assert len(found) == 3
    for line in found:
        words = shlex.split(line)
        command = known.commands[words[1]]
        options = {name for one in command.params for name in one.opts}
        assert {word for word in words if word.startswith("--")} <= options, line


def test_the_hook_passes_no_file_names() -> None:
    [hook] = [one for repo in hooks()["repos"] for one in repo["hooks"]]
    assert hook["language"] == "system" and hook["pass_filenames"] is False
    assert re.search(hook["files"], "gates.yaml") and not re.search(hook["files"], "gatesXyaml")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("metric: exact_match, margin", "metric: exact_macth, margin", "gates.yaml:4: rules[0].metric"),
        ("rules:", "looks: 3\nrules:", "gates.yaml:3: looks"),
        ("rules:", "waivers: [{rule: x, owner: a, reason: b, expires: 2026-01-01}]\nrules:", "no rule is called 'x'"),
    ],
)
def test_check_reads_a_gates_file(project: Path, shell: Shell, old: str, new: str, words: str) -> None:
    good = shell("check", "gates.yaml")
    assert good.code == 0 and good.out.strip() == "gates.yaml: gates with 3 rules against released/strong-1"
    file = project / "gates.yaml"
    file.write_text(file.read_text().replace(old, new, 1))
    found = shell("check", "gates.yaml")
    assert found.code == 2 and words in found.err and found.err.count("\n") == 1, found.err
