"""Which worker sees which accelerator. No device is needed: how many there are is given."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

import pytest

from harness.environment import visible_devices
from harness.experiments.running.executors import processes


@pytest.mark.parametrize(
    ("count", "given", "expected"),
    [
        (0, None, []),
        (2, None, ["0", "1"]),
        (4, "2,3", ["2", "3"]),
        (4, " GPU-8a1f , 1", ["GPU-8a1f", "1"]),
        (4, "", []),
        (4, "-1", []),
        (4, "1,-1,2", ["1"]),
    ],
)
def test_devices_are_those_that_this_process_may_use(count: int, given: str | None, expected: list[str]) -> None:
    assert visible_devices(count, given) == expected


def test_a_new_worker_takes_the_place_of_one_that_died() -> None:
    assert processes.free_slot([]) == 0
    assert processes.free_slot([0, 1]) == 2
    assert processes.free_slot([0, 2]) == 1


def test_a_worker_sees_its_device_alone_and_this_process_sees_what_it_saw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,6")
    context = multiprocessing.get_context("spawn")
    seen = []
    for device in ("6", None):
        with ProcessPoolExecutor(
            1, context, processes._start, (context.SimpleQueue(), device, dict(os.environ))
        ) as pool:
            seen.append(pool.submit(os.getenv, "CUDA_VISIBLE_DEVICES").result(timeout=120))
    assert seen == ["6", "5,6"]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "5,6"
