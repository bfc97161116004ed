"""Tiny model folders, each made once a session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.config import BaseModelSpec


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a tiny random model of the architecture asked for."""
    import torch
    from tiny_models import save_model

    torch.set_num_threads(1)
    made: dict[str, Path] = {}

    def folder(kind: str = "llama") -> Path:
        if kind not in made:
            made[kind] = save_model(tmp_path_factory.mktemp(kind), kind)
        return made[kind]

    return folder


@pytest.fixture
def base(tiny: Callable[[str], Path]) -> BaseModelSpec:
    """The tiny Llama as a base model."""
    return BaseModelSpec(path=str(tiny("llama")))
