"""Write text that the base never saw, to see what fine-tuning makes it forget: python baselines/base/retention.py

Thirty documents of the held-out trade, and short docstrings of two MIT-licensed packages that are held out as well.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from random import Random

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import domains  # noqa: E402
import package_text  # noqa: E402

OUT = HERE.parents[1] / "tasks" / "visit_notes" / "retention.jsonl"
LICENCES = {"filelock": "MIT", "datasketch": "MIT"}


def rows() -> list[dict[str, str]]:
    """All rows, the same every time for the same package versions."""
    rng, made = Random(77), []
    trade = domains.HELD_OUT
    for index in range(30):
        document = domains.documents(rng, trade, 1)[0]
        made.append({"id": f"{trade.name}-{index:02d}", "domain": trade.name, "text": document.prompt + document.note})
    known = package_text.standard_library_runs()
    for package, licence in LICENCES.items():
        pieces, _ = package_text.collect(rng, (package,), 60_000, known)
        source = f"{package} {version(package)}, {licence}"
        for index, text in enumerate([piece for piece in pieces if 200 <= len(piece) <= 900][:10]):
            made.append({"id": f"{package}-{index:02d}", "domain": "packages", "source": source, "text": text})
    return made


if __name__ == "__main__":
    OUT.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows()), encoding="utf-8")
