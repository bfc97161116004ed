"""A sensitive task with a canary in every field, and how to look for canaries in whatever form."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from pathlib import Path

FIELDS = ("id", "ward", "words", "answer", "rejected", "extra", "nested", "fact")
TASK = """
name: ward
sensitive: true
data: {path: rows.jsonl, licence: proprietary}
id: id
group: ward
prompt: "Say: {{ words }} {{ answer }}"
target: "{{ answer }}"
splits: {test: 0.4, validation: 0.2}
generate: {max_new_tokens: 400}
metrics: {primary: exact_match, also: [rouge_l, bleu, fact_recall, "mine.py:same", perplexity]}
facts: facts
retention: {path: retention.jsonl}
preferences: {chosen: "{{ answer }}", rejected: "{{ rejected }}"}
leakage: {drop: train}
review: {instructions: "Which one repeats?", flags: [fabrication]}
"""
METRIC = '''
def same(prediction, references, example):
    """Whether it is the same."""
    print(prediction, references, example)
    return float(prediction == references[0])


same.direction = "higher"
'''
EXPERIMENT = """
task: task
base_model: none
arms:
  - {method: toy, name: weak, skill: 0.3}
  - {method: toy, name: strong, skill: 0.9, learning_rate: 1.0}
  - {method: toy, name: broken, fail: error}
seeds: [0]
budget: {examples: 10}
tuning: {trials: 2, learning_rate: log}
data_fraction: [0.5, 1.0]
serving: {rounds: 2, prompts: 2, new_tokens: 4, batches: 2}
reference: weak
"""
GATES = """
baseline: released/strong-1
rules:
  - {metric: exact_match, margin: 0.5}
  - {metric: bleu, margin: 60, tier: supporting}
  - {metric: rouge_l, floor: 0.999}
on_inconclusive: warn
"""


def canary(name: str, number: int) -> str:
    """A word that stands nowhere else: a field's, of one row."""
    return f"Zq{name}Kx{number:03d}Vw"


def row(number: int) -> dict[str, object]:
    """A row with a canary in every field."""
    said = " ".join(f"{canary('words', number)}{part * number * 7919}" for part in range(1, 4))
    return {
        "id": canary("id", number),
        "ward": canary("ward", number // 2),
        "words": said,
        "answer": f"{canary('answer', number)} {number * 104729} für {number}",
        "rejected": f"{canary('rejected', number)} no",
        "extra": canary("extra", number),
        "nested": {canary("nested", number): [canary("nested", number)]},
        "facts": [{"slot": canary("fact", number), "value": canary("fact", number)}],
    }


def write(folder: Path, rows: list[dict[str, object]]) -> None:
    """The task and the experiment in `folder`."""
    (folder / "task").mkdir(parents=True)
    (folder / "none").mkdir()
    (folder / "task" / "task.yaml").write_text(TASK)
    (folder / "task" / "mine.py").write_text(METRIC)
    (folder / "task" / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    texts = [{"id": canary("id", n), "text": f"{canary('words', n)} it was"} for n in range(900, 905)]
    (folder / "task" / "retention.jsonl").write_text("".join(json.dumps(one) + "\n" for one in texts))
    (folder / "wards.yaml").write_text(EXPERIMENT)
    (folder / "gates.yaml").write_text(GATES)


def _forms(word: bytes) -> list[bytes]:
    """A word as it may stand in a file: as it is, reversed (a toy's garbage), UTF-16, hex, percent-encoded, base64."""
    found = [word, word[::-1], word.hex().encode(), b"".join(b"%%%02x" % byte for byte in word)]
    found += [word.decode().encode(code) for code in ("utf-16-le", "utf-16-be")]
    for offset in range(3):
        # What surrounds the word decides the first and last letters.
        found.append(base64.b64encode(b"\0" * offset + word)[4 if offset else 0 :].rstrip(b"=")[:-1])
    return found


_WANTED = [(field, form) for field in FIELDS for form in _forms(f"Zq{field}Kx".encode())]


def canaries(data: bytes) -> list[str]:
    """Fields whose canary stands in `data`, in any form and case; archives are opened."""
    if data[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            data += b"".join(archive.read(name) for name in archive.namelist())
    small = data.lower()
    return sorted({field for field, form in _WANTED if form in data or form.lower() in small})


def leaks(folder: Path, apart: tuple[str, ...]) -> dict[str, list[str]]:
    """File or name below `folder` → fields whose canary it holds; the folders named in `apart` are left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if name.parts[0] not in apart:
            data = str(name).encode() + b" " + (path.read_bytes() if path.is_file() else b"")
            if held := canaries(data):
                found[str(name)] = held
    return found
