"""The tiny models of tests/models."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny random Llama whose context is long enough for a visit."""
    import torch
    from tiny_models import save_model

    torch.set_num_threads(1)
    return save_model(tmp_path_factory.mktemp("llama"), max_position_embeddings=700)
