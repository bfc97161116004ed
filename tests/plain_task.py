"""The smallest task that tests of prompters and metrics need."""

from __future__ import annotations

from typing import Any

from harness.config import TaskSpec


def plain_task(primary: str = "exact_match", **fields: Any) -> TaskSpec:
    """A task with prompt `{{ a }}` and target `{{ b }}`."""
    data = {"path": "x.jsonl", "licence": "CC0-1.0"}
    own = {"name": "t", "data": data, "prompt": "{{ a }}", "target": "{{ b }}", "metrics": {"primary": primary}}
    return TaskSpec.model_validate(own | fields)
