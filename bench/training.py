"""How fast is a training, against `trl sft` and against the processor?      python bench/training.py [--quick]

First part: full fine-tuning of the embedded base on visit_notes, our loop against TRL's SFTTrainer, from the same
weights, on the same rows in the same batches of eight in the same order, with the same optimiser and constant rate;
both log every step. Equal precision on both sides of each ratio: float32, and bfloat16 autocast over float32 weights
(which is what `trl sft` does by itself).

    trl, defaults    SFTConfig as it comes, activation checkpointing on; of its precision see above
    trl, best        the fastest of the settings that keep the batches, tried first in this run

Losses of all sides must agree within 1e-3 at every step of a precision. Seconds are those of train steps from the
second on; loading and encoding count for nobody.

Second part: a random Llama of more than 10 M parameters with tied embeddings, trained fully on rows of up to 256
tokens, sixteen a batch, every token a target but the first: 6 x all parameters x real tokens a second, over the best
square matrix product in float32 in the same run with the same threads (of five sizes the quickest, each the median of
seven products, before and after each training). The embeddings are counted once, and used once as a matrix, for the
output; attention is not in the formula.

Both parts in turns, five repeats. Exits with 1 when a bound is missed or losses differ.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from side_by_side import interleaved, ratio, ratio_line

DEFAULTS_BOUND, BEST_BOUND, SHARE_BOUND, LOSS_BOUND = 2.0, 1.3, 0.6, 1e-3
BATCH, LARGE_BATCH, REPEATS = 8, 16, 5
SETTINGS: dict[str, dict[str, Any]] = {
    "no checkpointing": {"activation_checkpointing": False},
    "no checkpointing, padding-free": {"activation_checkpointing": False, "padding_free": True, "max_length": None},
}
"""What a user would turn on for speed that leaves the batches as they are."""
SQUARES = (512, 768, 1024, 1536, 2048)


Seen = tuple[dict[int, Any], list[int]]
"""Rows by index, and the order in which they are seen."""


@dataclass(slots=True)
class Trained:
    """What one short training of a side gave."""

    seconds: float
    losses: list[float]


def rows_of_task(examples: int) -> tuple[dict[int, Any], list[int]]:
    """Encoded rows of visit_notes for the embedded base, and the order in which they are seen."""
    from harness.arms import sft
    from harness.config import BudgetSpec, ChatSpec
    from harness.data import examples as sources, splits
    from harness.data.prompts import Prompter
    from harness.experiments.loading import load
    from harness.models.transformers import loading

    task, folder = load.load_task(load.stock_folder() / "tasks" / "visit_notes")
    source = sources.read_examples(task, folder)
    data = splits.split_source(source, task.splits).training
    prompter = Prompter(loading.load_tokenizer(base_folder()), ChatSpec(), task, 2048)
    return sft.encode_budget(prompter, data.train, BudgetSpec(examples=examples), 0)


def base_folder() -> Path:
    from harness.experiments.loading.load import stock_folder

    return stock_folder() / "baselines" / "base"


def embedded() -> Any:
    """The embedded base in float32."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(base_folder(), dtype="float32", local_files_only=True)


def ours(model: Any, seen: Seen, precision: str, rate: float = 1.4e-3, batch: int = BATCH) -> Trained:
    """Our loop, as every arm runs it."""
    import json

    from harness.arms.training import loop, losses
    from harness.arms.training.job import Job
    from harness.config import OptimiserSpec

    rows, order = seen
    optimiser = OptimiserSpec(learning_rate=rate, schedule="constant", warmup=0.0, batch_size=batch)
    with tempfile.TemporaryDirectory() as folder:
        job = Job(
            rows=rows,
            order=order,
            objective=losses.CompletionLoss(1),
            validate=None,
            optimiser=optimiser,
            evaluations=1,
            seed=0,
            device=str(model.device),
            folder=Path(folder),
            checkpoint_seconds=1e9,
            autocast="bfloat16" if precision == "bf16" else None,
        )
        model.requires_grad_(True)
        loop.run(model, job, lambda *step: None)
        log = [json.loads(line) for line in (Path(folder) / "train_log.jsonl").read_text().splitlines()]
    return Trained(log[-1]["seconds"] - log[0]["seconds"], [entry["loss"] for entry in log])


def trl(
    seen: Seen, precision: str, settings: dict[str, Any], rate: float = 1.4e-3, placed: tuple[Any, str] | None = None
) -> Trained:
    """TRL's SFTTrainer on the same rows, its own defaults but for `settings`; `placed`: a model and its device."""
    from datasets import Dataset
    from transformers import AutoTokenizer, TrainerCallback
    from transformers.trainer_callback import PrinterCallback
    from trl import SFTConfig, SFTTrainer

    class Watch(TrainerCallback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.times: list[float] = []

        def on_log(self, *args: Any, **kwargs: Any) -> None:
            self.times.append(time.perf_counter())

    rows, order = seen
    model, device = placed or (embedded(), "cpu")
    table = [{"input_ids": list(rows[at].input_ids), "labels": list(rows[at].labels)} for at in order]
    with tempfile.TemporaryDirectory() as folder:
        config = SFTConfig(
            output_dir=folder,
            per_device_train_batch_size=BATCH,
            num_train_epochs=1,
            learning_rate=rate,
            lr_scheduler_type="constant",
            train_sampling_strategy="sequential",
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=device == "cpu",
            dataloader_pin_memory=device != "cpu",
            **({} if precision == "bf16" else {"bf16": False}),
            **settings,
        )
        watch = Watch()
        trainer = SFTTrainer(
            model,
            config,
            train_dataset=Dataset.from_list(table),
            processing_class=AutoTokenizer.from_pretrained(base_folder(), local_files_only=True),
            callbacks=[watch],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        steps = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return Trained(watch.times[len(steps) - 1] - watch.times[0], steps)


def best_of(precision: str, seen: Seen) -> str:
    """The fastest of SETTINGS, tried once each after a warm-up."""
    found = {name: trl(seen, precision, settings).seconds for name, settings in SETTINGS.items()}
    for name, seconds in found.items():
        print(f"  {precision}, trl, {name}: {seconds / (len(seen[1]) / BATCH - 1):.3f} s a step", flush=True)
    return min(found, key=lambda name: found[name])


def against_trl(precision: str, seen: Seen, repeats: int) -> bool:
    """Print both ratios of one precision; whether both bounds hold and all losses agree."""
    rows, order = seen
    best = best_of(precision, (rows, order[: 4 * BATCH]))
    losses: dict[str, list[list[float]]] = {"ours": [], "defaults": [], "best": []}

    def side(name: str, work: Callable[[], Trained]) -> Callable[[], float]:
        def once() -> float:
            done = work()
            losses[name].append(done.losses)
            return done.seconds

        return once

    found = interleaved(
        {
            "ours": side("ours", lambda: ours(embedded(), seen, precision)),
            "best": side("best", lambda: trl(seen, precision, SETTINGS[best])),
            "defaults": side("defaults", lambda: trl(seen, precision, {})),
        },
        repeats,
        warm=False,
    )
    tokens = sum(len(rows[at].input_ids) for at in order[BATCH:])
    for name, seconds in found.items():
        print(f"  {precision}, {name}: {tokens / float(np.median(seconds)):,.0f} real tokens a second")
    table = np.array([losses[name][turn] for name in losses for turn in range(repeats)])
    apart = float(np.abs(table - table[0]).max())
    print(f"  {precision}, largest difference of losses at any of {table.shape[1]} steps: {apart:.1e}")
    print(f"  {precision}: " + ratio_line("trl at its defaults", found["defaults"], found["ours"], DEFAULTS_BOUND))
    print(f"  {precision}: " + ratio_line(f"trl, {best}", found["best"], found["ours"], BEST_BOUND), flush=True)
    good = ratio(found["defaults"], found["ours"]).value >= DEFAULTS_BOUND
    return good and ratio(found["best"], found["ours"]).value >= BEST_BOUND and apart <= LOSS_BOUND


# --------------------------------------------------------------------------------------------------- the processor


def random_llama() -> Any:
    """A Llama of 31 M parameters with tied embeddings, random weights, in float32.

    As wide and as deep as TinyStories-33M (Eldan and Li 2023): 768 by 4.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=4096,
        hidden_size=768,
        intermediate_size=2048,
        num_hidden_layers=4,
        num_attention_heads=12,
        max_position_embeddings=256,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config)


def random_rows(count: int) -> tuple[dict[int, Any], list[int]]:
    """Rows of 64 to 256 random tokens, all of them targets but the first."""
    from harness.data.prompts import Encoded

    rng = np.random.default_rng(0)
    rows = {}
    for at in range(count):
        ids = rng.integers(2, 4096, size=int(rng.integers(64, 257))).tolist()
        rows[at] = Encoded(tuple(ids[:1]), tuple(ids[1:]), 0, str(at))
    return rows, list(range(count))


def best_square() -> float:
    """Floating-point operations a second of square matrix products in float32, of the size that goes quickest."""
    import torch

    best = 0.0
    for size in SQUARES:
        a, b = torch.randn(size, size), torch.randn(size, size)
        out, seconds = a @ b, []
        for _ in range(7):
            started = time.perf_counter()
            torch.mm(a, b, out=out)
            seconds.append(time.perf_counter() - started)
        best = max(best, 2 * size**3 / float(np.median(seconds)))
    return best


def of_the_processor(steps: int, repeats: int) -> bool:
    """Print which share of the best square matrix product a training reaches; whether that is enough."""
    rows, order = random_rows(LARGE_BATCH * steps)
    tokens = sum(len(rows[at].input_ids) for at in order[LARGE_BATCH:])
    model = random_llama()
    count = sum(weight.numel() for weight in model.parameters())
    table = model.get_input_embeddings().weight.numel()
    print(f"  {count / 1e6:.1f} M parameters ({table / count:.0%} of them tied embeddings), {tokens} real tokens timed")
    shares = []
    ours(random_llama(), (rows, order[: 2 * BATCH]), "fp32", 1e-4, BATCH)
    for _ in range(repeats):
        before = best_square()
        done = ours(random_llama(), (rows, order), "fp32", 1e-4, LARGE_BATCH)
        peak = max(before, best_square())
        rate = 6 * count * tokens / done.seconds
        shares.append(rate / peak)
        print(f"  {rate / 1e9:.0f} of {peak / 1e9:.0f} GFLOP/s: {shares[-1]:.1%}", flush=True)
    share = float(np.median(shares))
    print(
        f"  full fine-tuning: {share:.1%} [{min(shares):.1%}, {max(shares):.1%}] of the best square matrix product; "
        f"at least {SHARE_BOUND:.0%} asked: {'yes' if share >= SHARE_BOUND else 'NO'}"
    )
    return share >= SHARE_BOUND


def main() -> int:
    """Both parts; how the bounds stand."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two repeats of three steps: no figure to quote")
    parser.add_argument("--threads", type=int, default=1, help="of both sides")
    parser.add_argument("--only", choices=["fp32", "bf16", "processor"])
    asked = parser.parse_args()
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(asked.threads)
    from harness.models.transformers import loading

    loading.quiet()
    import datasets

    datasets.disable_progress_bars()
    repeats, steps = (2, 3) if asked.quick else (REPEATS, 5)
    good = True
    seen = rows_of_task(BATCH * steps)
    for precision in ("fp32", "bf16"):
        if asked.only in (None, precision):
            good &= against_trl(precision, seen, repeats)
    if asked.only in (None, "processor"):
        good &= of_the_processor(3, repeats)
    print(f"{asked.threads} thread(s); every bound met: {'yes' if good else 'NO'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
