"""What somebody without a harness writes: answers, perplexity, ROUGE and BLEU of one model.

    python bench/script_chain.py MODEL TEST.jsonl OUT.json [--adapter FOLDER] [--nf4]

The peer of `end_to_end.py`, as good as a plain script with public libraries is: `generate` of transformers in batches
of similar length, one forward pass a batch for the perplexity, rouge-score and sacrebleu. (`evaluate.load` fetches the
same two libraries' wrappers from a hub and takes seconds longer to import.) TEST.jsonl has `prompt` and `target`.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import torch
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.bleu import BLEU
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

BATCH, NEW_TOKENS = 16, 150
"""The batch size that was quickest of 8, 16, 32, 64 and 128 in `generation.py`."""


def load(asked: argparse.Namespace) -> tuple[Any, Any]:
    """The model in float32 and its tokenizer."""
    options: dict[str, Any] = {"dtype": torch.float32}
    if asked.nf4:
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True
        )
    model = AutoModelForCausalLM.from_pretrained(asked.model, **options)
    if asked.adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(asked.adapter))
    return model.eval(), AutoTokenizer.from_pretrained(asked.model, padding_side="left")


@torch.inference_mode()
def answers(model: Any, tokenizer: Any, prompts: list[str]) -> list[str]:
    """Greedy answers, longest prompts first."""
    found: dict[int, str] = {}
    order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
    for start in range(0, len(order), BATCH):
        part = order[start : start + BATCH]
        batch = tokenizer([prompts[index] for index in part], return_tensors="pt", padding=True)
        ids = {name: batch[name] for name in ("input_ids", "attention_mask")}
        made = model.generate(**ids, max_new_tokens=NEW_TOKENS, do_sample=False)
        texts = tokenizer.batch_decode(made[:, ids["input_ids"].shape[1] :], skip_special_tokens=True)
        found.update(zip(part, texts, strict=True))
    return [found[index] for index in range(len(prompts))]


@torch.inference_mode()
def perplexity(model: Any, tokenizer: Any, rows: list[dict[str, str]]) -> float:
    """exp of the mean negative log-probability of the targets' tokens."""
    total, count = 0.0, 0
    encoded = [[tokenizer(row[name], add_special_tokens=False)["input_ids"] for name in row] for row in rows]
    encoded.sort(key=lambda parts: len(parts[0]) + len(parts[1]))
    for start in range(0, len(encoded), BATCH):
        part = encoded[start : start + BATCH]
        width = max(len(prompt) + len(target) for prompt, target in part)
        ids = torch.full((len(part), width), int(tokenizer.pad_token_id))
        labels = torch.full((len(part), width), -100)
        mask = torch.zeros((len(part), width), dtype=torch.long)
        for at, (prompt, target) in enumerate(part):
            length = len(prompt) + len(target)
            ids[at, :length] = torch.tensor(prompt + target)
            labels[at, len(prompt) : length] = torch.tensor(target)
            mask[at, :length] = 1
        tokens = int((labels[:, 1:] != -100).sum())
        total += float(model(input_ids=ids, attention_mask=mask, labels=labels).loss) * tokens
        count += tokens
    return math.exp(total / count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--nf4", action="store_true")
    asked = parser.parse_args()
    lines = [json.loads(line) for line in asked.test.read_text().splitlines()]
    rows = [{name: str(line[name]) for name in ("prompt", "target")} for line in lines]
    model, tokenizer = load(asked)
    made = answers(model, tokenizer, [row["prompt"] for row in rows])
    targets = [row["target"] for row in rows]
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
    scored = [scorer.score(target, text) for target, text in zip(targets, made, strict=True)]
    means = {name: sum(row[name].fmeasure for row in scored) / len(scored) for name in ("rouge1", "rouge2", "rougeL")}
    found = {
        "rouge_1": means["rouge1"],
        "rouge_2": means["rouge2"],
        "rouge_l": means["rougeL"],
        "bleu": BLEU().corpus_score(made, [targets]).score,
        "perplexity": perplexity(model, tokenizer, rows),
    }
    asked.out.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
