"""What a run is doing, as the app sees it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from shell_calls import Shell

from harness.experiments.running import live
from harness.progress import Reporter


def test_progress_is_there_while_it_goes_on_and_gone_afterwards(tmp_path: Path) -> None:
    reporter = Reporter(io.StringIO())
    reporter.listener = live_file = live.LiveFile(tmp_path, "x")
    reporter.step("lora (seed 0)", "train", 0, 100)
    reporter.step("full (seed 0)", "train", 1, 100)
    found = live.read(tmp_path, "x")
    assert found is not None and found.pid == os.getpid()
    assert [(one.label, one.phase, one.done, one.total) for one in found.arms] == [
        ("lora (seed 0)", "train", 0, 100),
        ("full (seed 0)", "train", 1, 100),
    ]
    reporter.clear("lora (seed 0)")
    found = live.read(tmp_path, "x")
    assert found is not None and [one.label for one in found.arms] == ["full (seed 0)"]
    live_file.close()
    assert live.read(tmp_path, "x") is None


def test_time_left_comes_from_the_pace() -> None:
    assert live.Phase("a", "train", 25, 100, since=1000.0).seconds_left(1010.0) == 30.0
    assert live.Phase("a", "train", 0, 100, since=1000.0).seconds_left(1010.0) is None


def test_it_is_written_about_once_a_second(tmp_path: Path) -> None:
    file = live.LiveFile(tmp_path, "x")
    for done in range(1000):
        file.step("a", "train", done, 1000)
    seen = live.read(tmp_path, "x")
    assert seen is not None and seen.arms[0].done < 999
    time.sleep(live.EVERY_SECONDS)
    file.step("a", "train", 1000, 1000)
    seen = live.read(tmp_path, "x")
    assert seen is not None and seen.arms[0].done == 1000


def test_the_file_of_a_process_that_is_gone_says_nothing(tmp_path: Path) -> None:
    lines = ("import sys", "from pathlib import Path", "from harness.experiments.running.live import LiveFile")
    code = "; ".join((*lines, "LiveFile(Path(sys.argv[1]), 'x')"))
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert (tmp_path / "live" / "x.json").exists()
    assert live.read(tmp_path, "x") is None


@pytest.mark.parametrize("torn", ["", "{", "[]", '{"pid": 1}'])
def test_a_torn_file_says_nothing(tmp_path: Path, torn: str) -> None:
    (tmp_path / "live").mkdir()
    (tmp_path / "live" / "x.json").write_text(torn)
    assert live.read(tmp_path, "x") is None


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "live").write_text("in the way")
    file = live.LiveFile(tmp_path, "x")
    file.step("a", "train", 1, 2)
    file.close()
    assert live.read(tmp_path, "x") is None


def test_a_run_leaves_no_file(project: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    assert shell("run", "toys.yaml").code == 0
    assert list((project / ".harness" / "live").iterdir()) == []
