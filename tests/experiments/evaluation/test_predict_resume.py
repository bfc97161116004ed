"""What is left after a kill: whole batches, and a rerun that gives the same bits."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from arithmetic_model import SETTINGS, ArithmeticModel, generation_load, likelihood_load, run
from hypothesis import HealthCheck, given, settings, strategies as st

from harness.experiments.evaluation.predict import Settings, likelihoods, predict, score
from harness.records import Prediction

SCRIPT = Path(__file__).with_name("arithmetic_model.py")


def answers(out: Path, model: ArithmeticModel, wanted: Settings = SETTINGS) -> list[Prediction]:
    rows = predict(model, generation_load(), wanted, out, lambda *a: None)
    return [replace(row, seconds=0.0) for row in rows]


def test_killed_at_random_moments_gives_the_same_bits(tmp_path: Path) -> None:
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    calm.mkdir()
    killed.mkdir()
    batches = run(calm, 0.0).batches
    rng = random.Random(1)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    kills = 0
    while not (killed / "result.json").exists():
        before = {path.name: path.stat().st_size for path in killed.iterdir()}
        process = subprocess.Popen([sys.executable, str(SCRIPT), str(killed), "0.02"], env=environment)
        while process.poll() is None and {p.name: p.stat().st_size for p in killed.iterdir()} == before:
            time.sleep(0.005)
        if kills < 4:
            time.sleep(rng.uniform(0.0, 0.25))
            process.send_signal(signal.SIGKILL)
            kills += process.wait() == -signal.SIGKILL
        else:
            assert process.wait() == 0
    assert kills == 4
    assert (killed / "result.json").read_bytes() == (calm / "result.json").read_bytes()
    assert batches > 15


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1), junk=st.sampled_from([b"", b'{"batch": 3, "rows"', b"\xff\xfe\n", b"[]\n", b"{}\n"]))
def test_cut_anywhere_repeats_only_what_is_missing(tmp_path: Path, share: float, junk: bytes) -> None:
    whole = tmp_path / "whole.jsonl"
    wanted = answers(whole, ArithmeticModel())
    content = whole.read_bytes()
    torn = tmp_path / "torn.jsonl"
    torn.write_bytes(content[: int(share * len(content))] + junk)
    kept = content[: int(share * len(content))].count(b"\n")
    model = ArithmeticModel()
    assert answers(torn, model) == wanted
    assert model.batches == content.count(b"\n") - max(1, kept)
    assert len(torn.read_bytes().splitlines()) == content.count(b"\n")


def test_finished_file_needs_no_model(tmp_path: Path) -> None:
    out = tmp_path / "score.jsonl"
    first = likelihoods(ArithmeticModel(), likelihood_load(), SETTINGS, out, lambda *a: None)
    model = ArithmeticModel()
    assert likelihoods(model, likelihood_load(), SETTINGS, out, lambda *a: None) == first
    assert model.batches == 0


@pytest.mark.parametrize(
    "changed",
    [
        replace(SETTINGS, eval_id="other"),
        replace(SETTINGS, max_new_tokens=11),
        replace(SETTINGS, stop=("x",)),
        replace(SETTINGS, batch_tokens=150),
        replace(SETTINGS, max_rows=3),
    ],
)
def test_other_settings_start_anew(tmp_path: Path, changed: Settings) -> None:
    out = tmp_path / "generate.jsonl"
    answers(out, ArithmeticModel())
    model = ArithmeticModel()
    answers(out, model, changed)
    assert model.batches == len(out.read_bytes().splitlines()) - 1 > 0


def test_other_requests_start_anew(tmp_path: Path) -> None:
    out = tmp_path / "generate.jsonl"
    answers(out, ArithmeticModel())
    model = ArithmeticModel()
    rows = predict(model, generation_load(59), SETTINGS, out, lambda *a: None)
    assert len(rows) == 59
    assert model.batches > 0


def test_rows_come_in_the_order_asked_and_progress_counts_them(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    rows = predict(ArithmeticModel(), generation_load(), SETTINGS, tmp_path / "g", lambda *a: seen.append(a))
    assert [row.example for row in rows] == [request.example for request in generation_load()]
    assert [row.truncated for row in rows] == [request.truncated for request in generation_load()]
    assert seen[0] == ("generate", 0, 60) and seen[-1] == ("generate", 60, 60)
    assert [done for _, done, _ in seen] == sorted({done for _, done, _ in seen})
    assert all(row.tokens_out == 2 and row.seconds >= 0 for row in rows)


def test_nothing_to_do(tmp_path: Path) -> None:
    assert predict(ArithmeticModel(), [], SETTINGS, tmp_path / "g", lambda *a: None) == []
    assert score(ArithmeticModel(), [], SETTINGS, tmp_path / "s", lambda *a: None) == []
    assert json.loads((tmp_path / "g").read_text())["plan"]
