"""A good task and rows for it, which tests break in one place each."""

from __future__ import annotations

from typing import Any

TASK = """\
# a task made by a test
name: notes
data: {path: data.jsonl, licence: CC0-1.0}
id: key
group: patient
prompt: |
  Write the note.

  {{ talk }}
target: "{{ note }}"
splits: {test: 0.3, validation: 0.2, salt: s}
metrics: {primary: rouge_l, also: [bleu]}
"""


def rows(count: int) -> list[dict[str, Any]]:
    """Rows whose texts have nothing in common."""
    return [
        {"key": n, "patient": f"p{n}", "talk": f"alpha{n} beta{n} gamma{n}", "note": f"note {n}"} for n in range(count)
    ]
