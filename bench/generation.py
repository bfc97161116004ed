"""Our greedy generation against `transformers.generate` at its best batch size.  python bench/generation.py [--quick]

The embedded base in float32 writes the notes of visits of `tasks/visit_notes` (at most 150 new tokens, as the task
says), the same number of threads for both (--threads, one unless said). Both sides get the same token ids and end at
the same end-of-sequence token. `generate` gets batches of prompts of like length, left-padded, longest first, and is
searched over batch sizes before; its best one counts, and one prompt at a time, its default, is reported apart. Ours is
what `harness run` calls: planned batches within the default token budget. Sides take turns.

    notes      the prompts of the task                                                                1.5 times asked
    worked     the same after two worked examples, as the few_shot arm has them                       reported

Parity in the same run: identical token ids. Where two answers part, the model's two best next tokens at that place are
looked up; logits at most 1e-3 apart are a tie, which the shape of a batch decides: ties are counted, anything else is a
fault. Prints its figures last and exits with 1 when it misses.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

os.environ.update(TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1", HF_HUB_DISABLE_PROGRESS_BARS="1")

from scoring import BASE, visits
from side_by_side import interleaved, ratio, ratio_line

LIMIT, NEAR_TIE, ASKED = 150, 1e-3, 1.5
BATCH_SIZES = (8, 16, 32, 64, 128)
Ids = tuple[int, ...]


def prompts(tokenizer: Any, count: int) -> dict[str, list[Ids]]:
    """Token ids of the prompts of each workload."""
    rows = visits(count + 2)
    texts = [f"Write the visit note.\n\n{row['conversation']}\n\nNote:\n" for row in rows]
    worked = "".join(f"{text}{row['note']}\n\n" for text, row in zip(texts[:2], rows, strict=False))
    ids = {"notes": texts[2:], "worked": [worked + text for text in texts[2:]]}
    return {name: [tuple(tokenizer.encode(text)) for text in found] for name, found in ids.items()}


def peer(model: Any, tokenizer: Any, asked: Sequence[Ids], size: int) -> list[Ids]:
    """`transformers.generate` in batches of `size`, longest prompts first."""
    import torch

    order = sorted(range(len(asked)), key=lambda i: -len(asked[i]))
    answers: dict[int, Ids] = {}
    for start in range(0, len(order), size):
        batch = order[start : start + size]
        width = max(len(asked[i]) for i in batch)
        ids = torch.tensor([[tokenizer.pad_token_id] * (width - len(asked[i])) + list(asked[i]) for i in batch])
        mask = torch.tensor([[0] * (width - len(asked[i])) + [1] * len(asked[i]) for i in batch])
        with torch.inference_mode():
            out = model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=LIMIT,
                do_sample=False,
                num_beams=1,
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=tokenizer.eos_token_id,
            )
        for index, row in zip(batch, out[:, width:].tolist(), strict=True):
            end = row.index(tokenizer.eos_token_id) if tokenizer.eos_token_id in row else len(row)
            answers[index] = tuple(row[:end])
    return [answers[index] for index in range(len(asked))]


def ours(model: Any, asked: Sequence[Ids]) -> list[Ids]:
    """What `harness run` does with the same prompts."""
    from harness.experiments.evaluation.predict import Settings
    from harness.models.transformers.batching import plan_batches

    answers: dict[int, Ids] = {}
    settings = Settings(eval_id="")
    for batch in plan_batches([len(ids) + LIMIT for ids in asked], settings.batch_tokens, settings.max_rows):
        found = model.generate([asked[i] for i in batch], LIMIT, [])
        answers.update((index, row.tokens) for index, row in zip(batch, found, strict=True))
    return [answers[index] for index in range(len(asked))]


def ties(model: Any, asked: Sequence[Ids], theirs: Sequence[Ids], mine: Sequence[Ids]) -> tuple[int, int]:
    """Answers that part at a tie, and those that part elsewhere."""
    import torch

    tied = faults = 0
    for prompt, a, b in zip(asked, theirs, mine, strict=True):
        if a == b:
            continue
        place = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
        with torch.inference_mode():
            best = model(input_ids=torch.tensor([[*prompt, *a[:place]]])).logits[0, -1].topk(2).values
        if float(best[0] - best[1]) <= NEAR_TIE:
            tied += 1
        else:
            faults += 1
    return tied, faults


def best_size(model: Any, tokenizer: Any, asked: Sequence[Ids], sizes: Sequence[int]) -> tuple[int, dict[int, float]]:
    """The batch size with the least time, and every size's seconds."""
    found = {}
    for size in sizes:
        started = time.perf_counter()
        peer(model, tokenizer, asked, size)
        found[size] = time.perf_counter() - started
    return min(found, key=lambda size: found[size]), found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer visits and three repeats")
    parser.add_argument("--visits", type=int, default=0, help="how many visits (96; quick: 48)")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    import torch

    from harness.config import BaseModelSpec
    from harness.models.transformers import loading
    from harness.models.transformers.causal import CausalModel

    torch.set_num_threads(asked.threads)
    base = BaseModelSpec(path=str(BASE))
    plain, tokenizer = loading.load_base(base, "cpu")
    model = CausalModel(*loading.load_base(base, "cpu"))
    count, repeats = asked.visits or (48 if asked.quick else 96), 3 if asked.quick else 5
    lines, missed = [], 0
    for name, ids in prompts(tokenizer, count).items():
        sizes = [size for size in BATCH_SIZES if size < 2 * count]
        size, found = best_size(plain, tokenizer, ids, sizes)
        listed = ", ".join(f"{n}: {seconds:.2f}" for n, seconds in found.items())
        few = ids[:: max(1, count // 8)]
        started = time.perf_counter()
        peer(plain, tokenizer, few, 1)
        alone = (time.perf_counter() - started) / len(few) * count
        print(f"\n{name}: {count} prompts. generate by batch size, seconds: 1: {alone:.2f} (from {len(few)}), {listed}")
        theirs, mine = peer(plain, tokenizer, ids, size), ours(model, ids)
        tied, faults = ties(plain, ids, theirs, mine)
        same = sum(a == b for a, b in zip(theirs, mine, strict=True))
        print(f"{name}: {same} of {count} the same, {tied} part at a tie, {faults} elsewhere", flush=True)

        def theirs_again(ids: list[Ids] = ids, size: int = size) -> None:
            peer(plain, tokenizer, ids, size)

        def ours_again(ids: list[Ids] = ids) -> None:
            ours(model, ids)

        times = interleaved({"generate": theirs_again, "ours": ours_again}, repeats, warm=False)
        bound = ASKED if name == "notes" else None
        lines.append(ratio_line(f"{name} (generate at {size})", times["generate"], times["ours"], bound))
        print(lines[-1], flush=True)
        value = ratio(times["generate"], times["ours"]).value
        missed += bool(faults) or (bound is not None and value < bound)
    print(f"\n{asked.threads} thread(s), float32, {torch.__version__}")
    print("\n".join(lines))
    print(f"missed: {missed}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
