"""The same figures on a GPU: training, scoring and generation of a model of about 1 B parameters.  python bench/gpu.py

A random-weight Llama of 1.1 B parameters with the embedded base's tokenizer (its vocabulary padded to 32,000). Against
the peers of the other benches, in turns, in one process:

    training      full fine-tuning, bfloat16 autocast over float32 weights, rows of 256 to 1,024 tokens: TRL's
                  SFTTrainer at its defaults and at the best of its settings; 6 x parameters x real tokens a second
                  over the best square matrix product in bfloat16
    scoring       choices of visit_notes in bfloat16 against `HFLM` at its best batch size
    generation    notes of visit_notes against `transformers.generate` at its best batch size

Bounds are those of the other benches. Losses are compared at 1e-2 (bfloat16). Without a GPU it says so, measures
nothing and exits with 1; `--device cpu --small` walks through it with a tiny model: no figure to quote.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.update(
    TQDM_DISABLE="1", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1", HF_HUB_DISABLE_PROGRESS_BARS="1"
)

import numpy as np
import scoring
import training
from side_by_side import interleaved, ratio, ratio_line

SIZES = {
    False: {"hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 20, "num_attention_heads": 16},
    True: {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2},
}
LOSS_BOUND, BATCH = 1e-2, 8
SQUARES = (2048, 4096, 8192, 16384)


def write_model(folder: Path, small: bool, device: str) -> None:
    """The random model and the tokenizer, as a folder that every side loads."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(training.base_folder(), local_files_only=True)
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = LlamaConfig(
        vocab_size=32_000,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        **ids,
        **SIZES[small],
    )
    torch.manual_seed(0)
    with torch.device(device):
        model = LlamaForCausalLM(config)
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def wait() -> None:
    """Until the accelerator has done all that was asked of it."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def best_square(device: str, sizes: tuple[int, ...]) -> float:
    """Floating-point operations a second of the best square matrix product in bfloat16."""
    import torch

    best = 0.0
    for size in sizes:
        a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
        for _ in range(5):
            wait()
            started = time.perf_counter()
            a @ b
            wait()
            best = max(best, 2 * size**3 / (time.perf_counter() - started))
    return best


def rows_of(count: int, longest: int) -> training.Seen:
    """Rows of random tokens of a quarter of `longest` up to it, half of each carrying loss."""
    from harness.data.prompts import Encoded

    rng = np.random.default_rng(0)
    rows = {}
    for at in range(count):
        ids = rng.integers(2, 2048, size=int(rng.integers(longest // 4, longest + 1))).tolist()
        rows[at] = Encoded(tuple(ids[: len(ids) // 2]), tuple(ids[len(ids) // 2 :]), 0, str(at))
    return rows, list(range(count))


def trainings(folder: Path, asked: argparse.Namespace) -> bool:
    """Print the training figures; whether all bounds hold."""
    import torch
    from transformers import AutoModelForCausalLM

    def load() -> Any:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
        return model.to(asked.device)

    seen = rows_of(BATCH * asked.steps, 64 if asked.small else 1024)
    rows, order = seen
    tokens = sum(len(rows[at].input_ids) for at in order[BATCH:])
    losses: dict[str, list[float]] = {}

    def side(name: str, settings: dict[str, Any] | None) -> Any:
        def once() -> float:
            if settings is None:
                done = training.ours(load(), seen, "bf16", 1e-5)
            else:
                done = training.trl(seen, "bf16", settings, 1e-5, (load(), asked.device))
            losses[name] = done.losses
            return done.seconds

        return once

    tried = {name: side(name, settings)() for name, settings in training.SETTINGS.items()}
    best = min(tried, key=lambda name: tried[name])
    sides = {
        "ours": side("ours", None),
        "best": side("best", training.SETTINGS[best]),
        "defaults": side("defaults", {}),
    }
    found = interleaved(sides, asked.repeats)
    table = np.array([losses[name] for name in sides])
    apart = float(np.abs(table - table[0]).max())
    print(f"losses at most {apart:.1e} apart (bound {LOSS_BOUND:.0e})")
    print(ratio_line("trl at its defaults", found["defaults"], found["ours"], training.DEFAULTS_BOUND))
    print(ratio_line(f"trl, {best}", found["best"], found["ours"], training.BEST_BOUND))
    count = sum(weight.numel() for weight in load().parameters())
    peak = best_square(asked.device, (256, 512) if asked.small else SQUARES)
    rate = 6 * count * tokens / float(np.median(found["ours"]))
    print(
        f"{count / 1e6:,.0f} M parameters, {tokens / float(np.median(found['ours'])):,.0f} real tokens a second: "
        f"{rate / 1e12:.2f} of {peak / 1e12:.2f} TFLOP/s, {rate / peak:.1%} "
        f"(at least {training.SHARE_BOUND:.0%} asked)",
        flush=True,
    )
    good = ratio(found["defaults"], found["ours"]).value >= training.DEFAULTS_BOUND and apart <= LOSS_BOUND
    good &= ratio(found["best"], found["ours"]).value >= training.BEST_BOUND
    return good and rate / peak >= training.SHARE_BOUND


def scorings(folder: Path, asked: argparse.Namespace) -> bool:
    """Print the scoring figures; whether all bounds hold. Answers may differ where bfloat16 makes ties: counted."""
    from lm_eval.models.huggingface import HFLM

    from harness.models.lm_eval_model import HarnessLM

    good = True
    with tempfile.TemporaryDirectory() as place:
        found = scoring.workloads(asked.visits, Path(place))
        hflm = HFLM(pretrained=str(folder), dtype="bfloat16", device=asked.device, batch_size=1)
        lm = HarnessLM.load(str(folder), dtype="bfloat16", device=asked.device)
        for work in found:
            size, _ = scoring.best_size(hflm, work)
            hflm.batch_size_per_gpu = size
            line, _ = scoring.differences(
                work, scoring.ask(hflm, work), scoring.ask(lm, work), lambda text: len(lm.tok_encode(text))
            )
            sides = {name: _asking(model, work) for name, model in (("HFLM", hflm), ("ours", lm))}
            times = interleaved(sides, asked.repeats)
            bound = scoring.ASKED[work.name]
            print(f"{work.name}: {line}")
            print(ratio_line(f"{work.name} (HFLM at {size})", times["HFLM"], times["ours"], bound), flush=True)
            good &= ratio(times["HFLM"], times["ours"]).value >= bound
    return good


def _asking(model: Any, work: scoring.Workload) -> Any:
    def once() -> None:
        scoring.ask(model, work)
        wait()

    return once


def generations(folder: Path, asked: argparse.Namespace) -> bool:
    """Print the generation figure; whether its bound holds. Random weights hardly ever end an answer."""
    import generation
    import torch

    from harness.config import BaseModelSpec
    from harness.models.transformers import loading
    from harness.models.transformers.causal import CausalModel

    base = BaseModelSpec(path=str(folder), dtype="bfloat16")
    plain, tokenizer = loading.load_base(base, asked.device)
    model = CausalModel(*loading.load_base(base, asked.device))
    ids = generation.prompts(tokenizer, asked.visits)["notes"]
    with torch.device(asked.device):
        size, _ = generation.best_size(plain, tokenizer, ids, [n for n in (8, 32, 64, 128) if n < 2 * len(ids)])

    def theirs() -> None:
        with torch.device(asked.device):
            generation.peer(plain, tokenizer, ids, size)
        wait()

    def ours() -> None:
        generation.ours(model, ids)
        wait()

    times = interleaved({"generate": theirs, "ours": ours}, asked.repeats)
    line = ratio_line(f"generation (generate at {size})", times["generate"], times["ours"], generation.ASKED)
    print(line, flush=True)
    return ratio(times["generate"], times["ours"]).value >= generation.ASKED


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="a tiny model, to see that the script runs")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--visits", type=int, default=96)
    asked = parser.parse_args()
    import torch

    if asked.device == "cuda" and not torch.cuda.is_available():
        print("no GPU here: nothing was measured", file=sys.stderr)
        return 1
    import datasets

    from harness.models.transformers import loading

    loading.quiet()
    datasets.disable_progress_bars()
    name = torch.cuda.get_device_name() if asked.device == "cuda" else "a walk-through: no figure to quote"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_model(folder, asked.small, asked.device)
        good = [part(folder, asked) for part in (trainings, scorings, generations)]
    print(f"{name}, torch {torch.__version__}; every bound met: {'yes' if all(good) else 'NO'}")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
