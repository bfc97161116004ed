"""What the base model can do: fact recall and bits per byte, bare and with worked examples, by trade."""

from __future__ import annotations

import math
from pathlib import Path
from random import Random
from typing import Any

import domains
import torch
from transformers import PreTrainedTokenizerFast

HERE = Path(__file__).resolve().parent


def clinic_documents(number: int) -> list[domains.Document]:
    """Documents of the clinic, for measuring only."""
    path = HERE.parents[1] / "tasks" / "visit_notes" / "clinic.py"
    clinic = domains._load("visit_notes_clinic", path)
    rng, made = Random(99), []
    for index in range(number):
        talked = clinic.talk.converse(clinic.scene(rng, index % 3 + 1), rng)
        note = clinic.write_note(talked.facts)
        prompt = f"Write the visit note.\n\n{talked.text}\n\nNote:\n"
        made.append(domains.Document(prompt, note, tuple(line.split(": ", 1)[1] for line in note.split("\n"))))
    return made


def shots(made: list[domains.Document]) -> domains.Document:
    """The last document behind the others as worked examples."""
    before = "\n\n".join(d.prompt + d.note for d in made[:-1])
    return domains.Document(f"{before}\n\n{made[-1].prompt}", made[-1].note, made[-1].values)


def probes(number: int) -> dict[str, list[domains.Document]]:
    """Documents to measure on: bare and with two worked examples."""
    rng = Random(4711)
    seen = [domains.documents(rng, rng.choice(domains.SEEN), 1)[0] for _ in range(number)]
    seen_shots = [shots(domains.documents(rng, rng.choice(domains.SEEN), 3)) for _ in range(number)]
    held = [shots(domains.documents(rng, domains.HELD_OUT, 3)) for _ in range(number)]
    clinic = clinic_documents(number * 3)
    clinic_shots = [shots(clinic[i * 3 : i * 3 + 3]) for i in range(number)]
    return {
        "seen": seen,
        "seen_2shot": seen_shots,
        "held_2shot": held,
        "clinic": clinic[:number],
        "clinic_2shot": clinic_shots,
    }


def generate(model: Any, tokenizer: PreTrainedTokenizerFast, prompts: list[str], new_tokens: int = 110) -> list[str]:
    """Greedy continuations, left-padded."""
    encoded = [tokenizer.backend_tokenizer.encode(prompt).ids for prompt in prompts]
    width = max(len(ids) for ids in encoded)
    pad = tokenizer.pad_token_id
    ids = torch.tensor([[pad] * (width - len(row)) + row for row in encoded])
    mask = (ids != pad).long()
    with torch.no_grad():
        out = model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=new_tokens, do_sample=False,
            pad_token_id=pad, eos_token_id=tokenizer.eos_token_id,
        )  # fmt: skip
    return [tokenizer.decode(row[width:], skip_special_tokens=True) for row in out]


def recall(document: domains.Document, text: str) -> float:
    """Share of the document's values that stand in the text's first note."""
    note = text.split("\n\n")[0]
    return sum(value in note for value in document.values) / len(document.values)


def measure(model: Any, tokenizer: PreTrainedTokenizerFast, prose: list[str], number: int = 8) -> dict[str, float]:
    """Fact recall and note bits per byte by probe, and bits per byte of held-out package text."""
    model.eval()
    found: dict[str, float] = {}
    encode = tokenizer.backend_tokenizer.encode
    for name, made in probes(number).items():
        texts = generate(model, tokenizer, [d.prompt for d in made])
        found[f"recall {name}"] = sum(recall(d, t) for d, t in zip(made, texts, strict=True)) / len(made)
        bits, size = 0.0, 0
        for d in made:
            prompt, note = encode(d.prompt).ids, encode(d.note).ids
            bits += _bits(model, prompt, note)
            size += len(d.note.encode())
        found[f"bpb {name}"] = bits / size
    bits, size = 0.0, 0
    for piece in prose[: number * 2]:
        ids = encode(piece).ids[:512]
        bits += _bits(model, [tokenizer.eos_token_id], ids)
        size += len(tokenizer.decode(ids).encode())
    found["bpb held prose"] = bits / size
    model.train()
    return found


def by_domain(model: Any, tokenizer: PreTrainedTokenizerFast, number: int) -> dict[str, float]:
    """Bits per byte of notes after their conversations, bare, by trade: fresh documents that no training step drew."""
    model.eval()
    encode, found = tokenizer.backend_tokenizer.encode, {}
    for domain in (*domains.SEEN, domains.HELD_OUT):
        rng = Random(f"by domain/{domain.name}")
        made = [domains.documents(rng, domain, 1)[0] for _ in range(number)]
        bits = sum(_bits(model, encode(d.prompt).ids, encode(d.note).ids) for d in made)
        found[f"bpb {domain.name}"] = bits / sum(len(d.note.encode()) for d in made)
    return found


def _bits(model: Any, prompt: list[int], note: list[int]) -> float:
    """Bits that the model needs for the note after the prompt."""
    with torch.no_grad():
        logits = model(torch.tensor([prompt + note])).logits[0, len(prompt) - 1 : -1].float()
    log_probabilities = torch.log_softmax(logits, -1).gather(-1, torch.tensor(note)[:, None])
    return -log_probabilities.sum().item() / math.log(2)
