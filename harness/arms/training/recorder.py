"""What happens between the steps of a training: counting, signs of instability, validation, log, checkpoints, ends."""

from __future__ import annotations

import json
import math
import random
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from harness.arms import Progress
from harness.arms.training import checkpoints, flops, instability, losses, memory
from harness.arms.training.job import Job, mixed
from harness.arms.training.order import rate_factor
from harness.arms.training.stopping import StopFlag
from harness.errors import ArmFailed, Diverged
from harness.records import Ledger, RunEvent, TrainLogRow, from_json, to_json
from harness.records.files import read_json, write_json, write_text

LOG = "train_log.jsonl"
CHECKPOINTS = "checkpoints"
WRITING_SHARE = 0.1
"""Checkpoints are made rarer than asked for where writing them would take a larger share of the time than this."""


@dataclass(frozen=True, slots=True)
class Meter:
    """Where a training stands and what it has cost: part of every checkpoint."""

    step: int = 0
    examples: int = 0
    tokens: int = 0
    target_tokens: int = 0
    train_seconds: float = 0.0
    validation_seconds: float = 0.0
    peak_memory_bytes: int = 0
    squares: int = 0
    """Sum over sequences of their squared length in tokens."""
    lost_seconds: float = 0.0
    """Of steps that ran out of memory."""
    micro_batch: int | None = None
    """Examples of one forward pass where memory ran out with as many as asked for."""


class Recorder(TrainerCallback):  # type: ignore[misc]
    """Looks after every step: counts, validates, logs, checkpoints, and stops."""

    def __init__(
        self,
        model: Any,
        job: Job,
        progress: Progress,
        trainable: dict[str, torch.nn.Parameter],
        optimiser: torch.optim.Optimizer,
    ) -> None:
        self.model, self.job, self.progress = model, job, progress
        self.trainable, self.optimiser = trainable, optimiser
        self._shape = flops.shape_of(model)
        self.schedule: Any = None
        self.stop = StopFlag()
        self.meter = Meter()
        self.watch = instability.Watch()
        self.settling = False
        """From the optimiser's step to the end of its bookkeeping: what fails then cannot simply be done again."""
        self.steps = math.ceil(len(job.order) / job.optimiser.batch_size)
        self.validated = 0
        self._random: dict[str, Any] | None = None
        self._peak = memory.watch(str(job.device))
        self._clock = time.perf_counter()
        self._fresh, self._broken = True, False
        self._saved_at, self._saving_took = time.monotonic(), 0.0

    def rate(self, step: int) -> float:
        """Share of the peak learning rate for the next step."""
        spec = self.job.optimiser
        if self.job.device_seconds is None:
            return rate_factor(spec.schedule, spec.warmup, step, self.steps)
        budget = self.job.device_seconds
        return rate_factor(spec.schedule, spec.warmup, self.meter.train_seconds, budget, budget / 1000)

    # ------------------------------------------------------------------------------------------------ callbacks

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Before the first step after a resume: the random states, which the data loader has touched since."""
        if self._random is not None:
            _set_random_state(self._random)
            self._random = None
        if self._fresh:
            # What came before (Trainer's set-up, a step that ran out of memory) is no train step.
            now = time.perf_counter()
            if self._broken:
                self.meter = replace(self.meter, lost_seconds=self.meter.lost_seconds + now - self._clock)
            self._clock, self._fresh, self._broken = now, False, False

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Gradients are there, and weights are about to move."""
        self.settling = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """After every optimiser step."""
        if logs is None or "loss" not in logs:  # the summary at the end
            return
        now = time.perf_counter()
        self._count(now - self._clock)
        loss, norm = float(logs["loss"]), float(logs.get("grad_norm", 0.0))
        self.watch = instability.observe(self.watch, instability.Step(self.meter.step, loss, norm))
        final = instability.stopping(self.watch, self.meter.step, self.job.stop_on)
        if final is not None:
            self._log(loss, norm, float(logs["learning_rate"]), None)
            raise Diverged(final.detail, hint="Lower optimiser.learning_rate or raise optimiser.warmup")
        ends = self.is_over()
        due = self._validation_due(ends)
        validation = self._validate() if due else None
        if validation is not None:
            self.watch = instability.validated(self.watch, self.meter.step, validation)
        self._log(loss, norm, float(logs["learning_rate"]), validation)
        self._report()
        paused = self.is_paused()
        if paused or self.stop.signal is not None or self._checkpoint_due():
            self.save()
        self.stop.check(f"training after step {self.meter.step}")
        control.should_training_stop = ends or paused
        self.settling = False
        self._clock = time.perf_counter()

    # -------------------------------------------------------------------------------------------------- counting

    def _count(self, seconds: float) -> None:
        job, meter = self.job, self.meter
        done = min(len(job.order), meter.examples + job.optimiser.batch_size)
        seen = losses.volume(s for at in job.order[meter.examples : done] for s in job.objective.sides(job.rows[at]))
        self.meter = replace(
            meter,
            step=meter.step + 1,
            examples=done,
            tokens=meter.tokens + seen.tokens,
            target_tokens=meter.target_tokens + seen.targets,
            squares=meter.squares + seen.squares,
            train_seconds=meter.train_seconds + seconds,
            peak_memory_bytes=max(meter.peak_memory_bytes, self._peak()),
        )

    def out_of_memory(self, micro: int, smaller: int) -> None:
        """Note that a step ran out of memory with `micro` examples a forward pass, and goes on with `smaller`."""
        step = self.meter.step + 1
        halved = f"micro-batch halved from {micro} to {smaller}"
        detail = f"memory ran out at step {step}: {halved}, effective batch kept at {self.job.optimiser.batch_size}"
        self.watch = instability.with_event(self.watch, RunEvent(step, "out_of_memory", detail, float(smaller)))
        self.meter = replace(self.meter, micro_batch=smaller)
        self._fresh = self._broken = True

    def spent(self) -> Ledger:
        """What the training has taken so far, as far as its loop knows."""
        meter, optimiser = self.meter, self.job.optimiser
        return Ledger(
            examples=meter.examples,
            tokens=meter.tokens,
            target_tokens=meter.target_tokens,
            optimiser_steps=meter.step,
            train_seconds=meter.train_seconds,
            validation_seconds=meter.validation_seconds,
            lost_seconds=meter.lost_seconds,
            peak_memory_bytes=meter.peak_memory_bytes or None,
            memory_kind=memory.kind(str(self.job.device)) if meter.peak_memory_bytes else None,
            flops=flops.training(self._shape, flops.Volume(meter.tokens, meter.target_tokens, meter.squares)),
            micro_batch_size=meter.micro_batch or optimiser.micro_batch_size or optimiser.batch_size,
            events=self.watch.events,
        )

    def is_over(self) -> bool:
        """Whether the budget is spent."""
        budget = self.job.device_seconds
        return self.meter.examples >= len(self.job.order) or (budget is not None and self.meter.train_seconds >= budget)

    def is_paused(self) -> bool:
        """Whether the training has come as far as it is to go for now. Raises ArmFailed where it is further already."""
        if self.job.pause is None:
            return False
        rung = max(1, round(self.job.pause * self.steps))
        if self.meter.step > rung:
            raise ArmFailed(
                f"its training stands at step {self.meter.step}, beyond step {rung} where it was to be looked at",
                hint="It is trained to the end without having been in the race",
            )
        return self.meter.step == rung and not self.is_over()

    def _validation_due(self, ends: bool) -> bool:
        """`evaluations` times, evenly spread over steps (or seconds), the last at the end."""
        if self.job.validate is None:
            return False
        budget = self.job.device_seconds
        share = self.meter.step / self.steps if budget is None else self.meter.train_seconds / budget
        passed = self.job.evaluations if ends else min(self.job.evaluations - 1, int(share * self.job.evaluations))
        due = passed > self.validated
        self.validated = max(passed, self.validated)
        return due

    def _validate(self) -> float:
        assert self.job.validate is not None
        started = time.perf_counter()
        with mixed(self.job.device, self.job.autocast):
            loss = self.job.validate(self.model)
        spent = time.perf_counter() - started
        self.meter = replace(self.meter, validation_seconds=self.meter.validation_seconds + spent)
        return loss

    def _log(self, loss: float, norm: float, rate: float, validation: float | None) -> None:
        meter = self.meter
        row = TrainLogRow(
            step=meter.step,
            examples=meter.examples,
            tokens=meter.tokens,
            seconds=meter.train_seconds,
            loss=loss if math.isfinite(loss) else None,
            validation_loss=validation if validation is not None and math.isfinite(validation) else None,
            gradient_norm=norm if math.isfinite(norm) else None,
            learning_rate=rate,
        )
        with (self.job.folder / LOG).open("a", encoding="utf-8") as out:
            out.write(json.dumps(to_json(row)) + "\n")

    def _report(self) -> None:
        budget = self.job.device_seconds
        if budget is None:
            self.progress("train", self.meter.examples, len(self.job.order))
        else:
            self.progress("train", min(int(self.meter.train_seconds), int(budget)), int(budget))

    # ----------------------------------------------------------------------------------------------- checkpoints

    def _checkpoint_due(self) -> bool:
        wait = max(self.job.checkpoint_seconds, self._saving_took / WRITING_SHARE)
        return time.monotonic() - self._saved_at >= wait

    def save(self) -> None:
        """Write a checkpoint of this moment."""
        from safetensors.torch import save_file

        started = time.monotonic()
        weights = {name: weight.detach().contiguous() for name, weight in self.trainable.items()}
        state = {"optimiser": self.optimiser.state_dict(), "schedule": self.schedule.state_dict()}
        position = {**asdict(self.meter), "validated": self.validated, "watch": to_json(self.watch)}
        checkpoints.save(
            self.job.folder / CHECKPOINTS,
            self.meter.step,
            {
                "weights.safetensors": lambda path: save_file(weights, path),
                "optimiser.pt": lambda path: torch.save(state, path),
                "random.pt": lambda path: torch.save(_random_state(), path),
                "position.json": lambda path: write_json(path, position),
            },
        )
        self._saved_at, self._saving_took = time.monotonic(), time.monotonic() - started

    def resume(self) -> None:
        """Go back to the newest checkpoint, if there is one, and cut the log there."""
        folder = checkpoints.latest(self.job.folder / CHECKPOINTS)
        if folder is not None:
            self._load(folder)
        _cut_log(self.job.folder / LOG, self.meter.step)

    def _load(self, folder: Path) -> None:
        from safetensors.torch import load_file

        weights = load_file(folder / "weights.safetensors")
        with torch.no_grad():
            for name, weight in self.trainable.items():
                weight.copy_(weights[name])
        state = torch.load(folder / "optimiser.pt", map_location="cpu", weights_only=True)
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self._random = torch.load(folder / "random.pt", map_location="cpu", weights_only=True)
        position = read_json(folder / "position.json")
        self.validated = position.pop("validated")
        self.watch = from_json(instability.Watch, position.pop("watch", {}))
        self.meter = Meter(**position)


def _cut_log(path: Path, step: int) -> None:
    """Drop the rows after `step` (of work that is done again), and a last line that a kill tore."""
    if not path.exists():
        return
    kept: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except ValueError:
            break
    write_text(path, "".join(kept))


def _random_state() -> dict[str, Any]:
    """States of Python's, NumPy's and torch's global generators, as plain values and tensors."""
    import numpy as np

    version, words, gauss = random.getstate()
    state: dict[str, Any] = np.random.get_state(legacy=False)
    return {
        "python": [version, list(words), gauss],
        "numpy": {**state, "state": {"key": state["state"]["key"].tolist(), "pos": int(state["state"]["pos"])}},
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def _set_random_state(state: dict[str, Any]) -> None:
    import numpy as np

    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
