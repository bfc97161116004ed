"""Whether what was loaded is the model that was trained, told by logits of a fixed sequence of tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.errors import ModelError
from harness.records.files import read_json, write_json


def probe(model: Any) -> Any:
    """Logits (positions, vocabulary; float32, CPU) of a fixed sequence of 16 token ids spread over the vocabulary."""
    import torch

    size = int(model.config.get_text_config().vocab_size)
    ids = torch.tensor([[(7919 * i + 17) % size for i in range(16)]], device=model.device)
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
    # Virtual tokens of a prompt-learning adapter come first.
    return logits[0, -16:].float().cpu()


TRAINED = "trained_probe.json"
"""In a run folder: some logits of the model as it was trained."""
SAME_MODEL = {"float32": 1e-3, "rounded": 0.5}
"""How far a logit may be from the trained model's: on another machine, or in two bytes and four bits."""


def note_trained(run_folder: Path, model: Any) -> None:
    """Keep some logits of a model that was just trained, against which its artefact is held when it is loaded."""
    write_json(run_folder / TRAINED, _thinned(probe(model)))


def check_trained(run_folder: Path, folder: Path, model: Any, quantised: bool) -> None:
    """Raise ModelError unless the model loaded from the artefact in `folder` has the logits noted when it was trained.

    Some initialisations change the base's weights by chance and do so anew when the adapter is loaded, and a type of
    adapter may not save all that it trained.
    """
    path = run_folder / TRAINED
    if not path.exists() or not folder.is_relative_to(run_folder):
        return  # trained elsewhere, by a version that kept none, or shipped: parity has its own bounds
    gap = max(abs(one - other) for one, other in zip(read_json(path), _thinned(probe(model)), strict=True))
    exact = not quantised and str(next(model.parameters()).dtype) == "torch.float32"
    if not gap <= SAME_MODEL["float32" if exact else "rounded"]:
        raise ModelError(
            f"what was saved is not the model that was trained: logits differ by {gap:.3g}",
            hint="An initialisation that draws at random from the base, or a kind of adapter that does not save all"
            " that it trains: choose another",
        )


def _thinned(logits: Any) -> list[float]:
    """About 256 of the probe's logits, of its last four positions."""
    return [float(value) for value in logits[-4:, :: max(1, logits.shape[1] // 64)].flatten().tolist()]
