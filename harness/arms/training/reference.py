"""What a parent thinks of the answers of preference pairs: computed once, shared by the arms that ask for it.

Arms that differ in beta or learning rate alone, trials of a tuning among them, ask one parent about the same pairs.
What it said is kept in `references/` of the home folder under a hash of all that decides it: the parent's artefact
(files, base, quantisation), precision, device, threads, torch's version, and the token ids of all pairs in their order,
so that an answer that is found has the bits of one that is computed. No text is kept.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.data.prompts import Encoded
from harness.records import Artefact, RunPlan, digest, from_json, to_json

FORMAT = 1
FOLDER = "references"


@dataclass(frozen=True, slots=True)
class Reference:
    """Natural-log probabilities of sequences' targets under a parent, and what they took."""

    logprobs: tuple[float, ...]
    seconds: float


def identity(plan: RunPlan, parent: Artefact, sides: Sequence[Encoded]) -> str:
    """Hash of everything that decides the log-probabilities of `sides` under `parent`."""
    import torch

    base = plan.experiment.base
    precision = [base.dtype, base.autocast, base.attention]
    where = [plan.device, torch.get_num_threads(), torch.__version__]
    tokens = [[side.prompt, side.target] for side in sides]
    return digest([FORMAT, parent.hash, parent.base_hash, precision, where, tokens], 32)


def shared(path: Path, compute: Callable[[], Reference]) -> tuple[Reference, bool]:
    """What is kept in the file `path`, else what `compute` gives, kept there; and whether it was there.

    A file that cannot be read is made again. Written whole or not at all; two processes write the same.
    """
    try:
        return from_json(Reference, json.loads(path.read_text(encoding="utf-8"))), True
    except (OSError, ValueError, TypeError, KeyError):
        found = compute()
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own for each process, so that two that ask at once do not write into one file.
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps(to_json(found)), encoding="utf-8")
    part.replace(path)
    return found, False
