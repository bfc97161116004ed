"""Workers whose driver was killed leave: they hold memory, and nobody hears them."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil


def test_killed_driver_leaves_no_process_behind(project: Path) -> None:
    text, before = (project / "toys.yaml").read_text(), "seeds:"
    assert before in text
    more = "  - {method: toy, name: slow, seconds: 300}\nresources: {executor: processes, workers: 2}\nseeds:"
    (project / "toys.yaml").write_text(text.replace(before, more))
    command = [sys.executable, "-m", "harness", "run", "toys.yaml"]
    driver = subprocess.Popen(command, cwd=project, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(list((project / ".harness" / "runs").glob("*/plan.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
    children = psutil.Process(driver.pid).children(recursive=True)
    assert len(children) >= 2
    driver.kill()
    driver.wait()
    _, left = psutil.wait_procs(children, timeout=60)
    for process in left:
        process.kill()
    assert left == []
