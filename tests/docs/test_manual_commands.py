"""Every command on a page of the manual exists and takes its options; the cheap ones run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from manual import ROOT, blocks, command_of, harness_calls, inline_calls, shell_lines
from shell_calls import Shell

KNOWN_PROGRAMS = {"harness", "make", "pip", "cd", "docker", "vllm", "rsync", ".venv/bin/python"}
CALLS = harness_calls()


def test_there_are_commands_to_check() -> None:
    assert len(CALLS) > 60 and len(inline_calls()) > 60


@pytest.mark.parametrize(("where", "line"), CALLS, ids=[where for where, _ in CALLS])
def test_a_command_is_understood(where: str, line: str) -> None:
    """Names, options, their values and required arguments, by the program's own parser; nothing is run."""
    command, words = command_of(shlex.split(line))
    assert not hasattr(command, "commands"), f"{line}: a group needs a command"
    context = command.make_context("harness", words)
    assert set(context.params) == {parameter.name for parameter in command.params if parameter.expose_value}


@pytest.mark.parametrize(("where", "line"), inline_calls())
def test_a_command_in_running_text_exists(where: str, line: str) -> None:
    command, words = command_of(re.split(r"[\s,|…]+", line))
    options = {name for parameter in command.params for name in [*parameter.opts, *parameter.secondary_opts]}
    options.add("--help")
    assert {word for word in words if word.startswith("--")} <= options, f"{where}: {line}"


def test_a_wrong_command_is_noticed() -> None:
    command, words = command_of(["run", "x.yaml", "--no-such-option"])
    with pytest.raises(Exception, match="no-such-option"):
        command.make_context("harness", words)
    with pytest.raises(AssertionError, match="no command"):
        command_of(["lederboard"])


def test_the_list_of_commands_with_json_is_right() -> None:
    page = (ROOT / "docs" / "reports.md").read_text()
    [sentence] = re.findall(r"^(`leaderboard`, .*?) take `--json`", page, re.MULTILINE | re.DOTALL)

    def walk(command: Any, words: tuple[str, ...]) -> set[str]:
        inner = getattr(command, "commands", {})
        own = {" ".join(words)} if any("--json" in parameter.opts for parameter in command.params) else set()
        return own.union(*(walk(inner[name], (*words, name)) for name in inner))

    assert set(re.findall(r"`([a-z ]+)`", " ".join(sentence.split()))) == walk(command_of([])[0], ())


def test_other_programs_are_known_ones() -> None:
    assert {shlex.split(line)[0] for _, line in shell_lines()} <= KNOWN_PROGRAMS


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = {shlex.split(line)[1] for _, line in shell_lines() if line.startswith("make ")}
    called |= {
        name
        for page in ROOT.glob("docs/**/*.md")
        for name in re.findall(r"`make ([\w-]+)`", page.read_text(encoding="utf8"))
    }
    assert called and called <= targets


@pytest.mark.parametrize("path", ["baselines/visit_notes.yaml", "baselines/visit_notes-full.yaml", "tasks/visit_notes"])
def test_stock_files_of_the_manual_pass_check(path: str, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    answer = shell("check", path)
    assert answer.code == 0 and answer.err == ""


def test_extras_of_the_manual_exist() -> None:
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {name for _, line in shell_lines() for name in re.findall(r"(?:\.|harness)\[(\w+)\]", line)}
    text = (ROOT / "docs" / "reports.md").read_text() + (ROOT / "docs" / "review.md").read_text()
    named |= set(re.findall(r"(?:\.|harness)\[(\w+)\]", text))
    assert {"signin"} <= named <= set(extras)


def test_get_started_works_as_written(tmp_path: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's own task and experiment, over rows of the shape it shows: check, preview and the arms' names."""
    page = ROOT / "docs" / "start.md"
    written = [block for block in blocks("yaml") if block.page == page]
    [example] = [block for block in blocks("json") if block.page == page]
    folder = tmp_path / "my_task"
    folder.mkdir()
    first = example.text.splitlines()
    rows = [
        first[number % len(first)]
        .replace("T-1", f"T-{number}")
        .replace("T-2", f"T-{number}")
        .replace("acme", f"customer {number // 2}")
        .replace("zenith", f"customer {number // 2}")
        .replace("export button", f"button {number * 7919} {number * 104729}")
        .replace("charged twice", f"charged {number * 7919} times {number * 104729}")
        .replace("March", f"week {number * 31}")
        for number in range(1, 41)
    ]
    (folder / "rows.jsonl").write_text("\n".join(rows))
    for block in written:
        name = block.text.splitlines()[0].split()[1]
        (tmp_path / name).write_text(block.text.replace("baselines/base", str(ROOT / "baselines" / "base")))
    monkeypatch.chdir(tmp_path)
    for path in ("my_task", "my_experiment.yaml"):
        answer = shell("check", path)
        assert answer.code == 0, answer.err
    assert "my_task" in answer.out
    answer = shell("preview", "my_task", "--model", ROOT / "baselines" / "base")
    assert answer.code == 0 and "Summarise the ticket." in answer.out
