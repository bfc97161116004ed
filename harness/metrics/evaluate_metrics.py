"""A metric of the library `evaluate` as a metric of a task: `evaluate:FOLDER`, or the name of one on the hub.

FOLDER is relative to the task's; it holds a script of the same name, as the library has it. Offline only folders and
what was loaded before are found. A metric that gives several numbers is called `evaluate:FOLDER:KEY`. It is computed
for one answer after the other, and the arm's value is the mean. The script's class may declare what a user's own metric
declares (`direction`, `bounds`, `unit`); for the well-known ones below the direction is known.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from harness.errors import UsageError

PREFIX = "evaluate:"
LOWER = ("wer", "cer", "ter", "character")
HIGHER = ("bertscore", "bleu", "bleurt", "chrf", "exact_match", "google_bleu", "meteor", "nist_mt", "rouge")


def load(name: str, folder: Path) -> tuple[Any, Path]:
    """The metric called `name` as a function (prediction, references) with its declarations, and its source file.

    Raises UsageError where the library cannot load it.
    """
    import datasets
    import evaluate

    path, _, key = name.removeprefix(PREFIX).partition(":")
    local = folder / path
    try:
        module = evaluate.load(str(local) if local.exists() else path, module_type="metric", keep_in_memory=True)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UsageError(f"metric {name!r} cannot be loaded: {reason}", hint=f"Put it at {local}") from None
    label = Path(path).stem
    features = module.features if isinstance(module.features, list) else [module.features]
    takes_several = any(not isinstance(each["references"], datasets.Value) for each in features)

    def score(prediction: str, references: list[str]) -> float:
        if not takes_several and len(references) > 1:
            raise ValueError(f"it takes one reference, and there are {len(references)}")
        result: dict[str, Any] = module.compute(
            predictions=[prediction], references=[references if takes_several else references[0]]
        )
        chosen = key or (label if label in result else next(iter(result)))
        if chosen not in result or not (key or label in result or len(result) == 1):
            raise ValueError(f"name one of its numbers, {name}:KEY: {', '.join(result)}")
        return float(result[chosen])

    declared: Any = score
    declared.__doc__ = f"{label} of the library evaluate{f', {key}' if key else ''}"
    declared.direction = getattr(module, "direction", None)
    if declared.direction is None and label in LOWER + HIGHER:
        declared.direction = "lower" if label in LOWER else "higher"
    declared.bounds, declared.unit = getattr(module, "bounds", None), getattr(module, "unit", "")
    return score, Path(inspect.getfile(type(module)))
