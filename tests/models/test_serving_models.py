"""Forced generation and weights of real models: equal work whatever a model would say, by every way of generating."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_models import save_model

from harness.config import BaseModelSpec, QuantSpec
from harness.models.transformers import loading
from harness.models.transformers.causal import CausalModel

PROMPTS = [(5, 6, 7, 8), (9, 10), (11, 12, 13)]


def loaded(folder: Path, quantisation: QuantSpec | None = None) -> CausalModel:
    return CausalModel(*loading.load_base(BaseModelSpec(path=str(folder)), "cpu", quantisation))


@pytest.mark.parametrize("fast", [True, False])
def test_exactly_as_many_tokens_as_asked_for_even_where_the_model_would_stop(tmp_path: Path, fast: bool) -> None:
    model = loaded(save_model(tmp_path / "m"))
    assert model.shares_contexts
    [free] = model.generate(PROMPTS[:1], 12, ())
    # Whatever it says third ends it from now on.
    model.eos_ids = (free.tokens[2],)
    model._reset_generation_config()
    model._shares = fast
    assert [len(answer.tokens) for answer in model.generate(PROMPTS[:1], 12, ())] == [free.tokens.index(free.tokens[2])]
    assert model.forced(PROMPTS[:1], 12) == 12
    assert model.forced(PROMPTS, 5) == 15
    assert model.forced(PROMPTS, 1) == 3


def test_forced_generation_takes_the_way_of_generation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded(save_model(tmp_path / "m"))
    seen: list[Any] = []
    real = model._generate_fast

    def spy(batch: Any, limit: int, stops: Any) -> list[list[int]]:
        seen.append(real(batch, limit, stops))
        return list(seen[-1])

    monkeypatch.setattr(model, "_generate_fast", spy)
    answers = model.generate(PROMPTS, 6, ())
    model.forced(PROMPTS, 6)
    for answer, free, forced in zip(answers, *seen, strict=True):
        assert forced[: len(free)] == free and free[: len(answer.tokens)] == list(answer.tokens)


def test_weights_are_counted_as_they_are_held(tmp_path: Path) -> None:
    from safetensors import safe_open

    folder = save_model(tmp_path / "m", hidden_size=64, intermediate_size=256)
    with safe_open(folder / "model.safetensors", "np") as file:
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    plain, four = loaded(folder), loaded(folder, QuantSpec())
    assert sum(tensor.nbytes for tensor in stored.values()) <= plain.weights_bytes
    assert plain.weights_bytes <= sum(tensor.nbytes for tensor in stored.values()) + 4096, "buffers are small"
    linear = sum(tensor.size for name, tensor in stored.items() if name.endswith("proj.weight"))
    saved = plain.weights_bytes - four.weights_bytes
    # Half a byte a weight and its share of the scales (a float32 or less for 64 weights) in place of four.
    assert 3.3 * linear < saved < 3.5 * linear
