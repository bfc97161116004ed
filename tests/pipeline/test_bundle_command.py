"""Bundles from the command line, of a real store."""

from __future__ import annotations

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
