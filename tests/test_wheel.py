"""A wheel carries the stock tasks and baselines, so that an installed harness works outside a clone."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like site-packages with the built wheel in it."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(folder),
        ".",
    ]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder / "site")
    return folder / "site"


def test_stock_files_are_found_outside_a_clone(installed: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "harness", "check", "baselines/visit_notes.yaml"]
    environment = os.environ | {"PYTHONPATH": str(installed)}
    answer = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert "visit_notes" in answer.stdout
    where = [sys.executable, "-c", "from harness.experiments.loading.load import stock_folder; print(stock_folder())"]
    place = subprocess.run(where, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert place.stdout.strip() == str(installed / "harness" / "stock")


def test_the_wheel_carries_what_the_main_job_needs(installed: Path) -> None:
    stock = installed / "harness" / "stock"
    for name in (
        "baselines/base/model.safetensors",
        "baselines/visit_notes.yaml",
        "tasks/visit_notes/task.yaml",
        "app.py",
    ):
        assert (stock / name).is_file(), name
    for name in ("store/migrations/0001_first.sql", "results/render/page/page.html.j2", "results/render/page/page.css"):
        assert (installed / "harness" / name).is_file(), name
    assert not list(installed.rglob("__pycache__"))
