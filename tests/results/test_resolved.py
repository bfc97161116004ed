"""Configuration objects as plain records: values, what differs from defaults, and nothing of the machine."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.models import library_configs
from harness.records import LibraryConfig, Provenance, to_json


class Kind(enum.Enum):
    FAST = "fast"


@dataclass
class Config:
    rate: float = 0.1
    kind: Kind = Kind.FAST
    layers: set[str] = field(default_factory=set)
    output_dir: str = ""
    cache: str = ""
    hub_token: str | None = None
    _inner: int = 3
    report_to: Any = "none"


def test_values_defaults_and_what_is_left_out() -> None:
    made = Config(0.2, layers={"v", "q"}, output_dir="/home/x", cache="/srv/cache", hub_token="hf_x", report_to=[])
    found = library_configs.describe("lib", made, Config())
    assert found == LibraryConfig(
        "lib",
        "Config",
        {"kind": "fast", "layers": ["q", "v"], "rate": 0.2, "report_to": []},
        {"rate": 0.1, "layers": []},
    )
    assert list(found.values) == sorted(found.values)


def test_without_a_default_nothing_is_said_to_differ() -> None:
    found = library_configs.describe("lib", {"a": 1, "b": 2}, None, name="f", without=("b",))
    assert found == LibraryConfig("lib", "f", {"a": 1}, {}, has_default=False)
    assert library_configs.describe("lib", {"a": 1, "own": 2}, {"a": 1}).changed == {}


def test_an_object_without_fields_is_refused() -> None:
    with pytest.raises(TypeError, match="int is no configuration"):
        library_configs.describe("lib", 3, None)


def test_it_goes_through_the_run_folder_into_the_provenance(tmp_path: Path) -> None:
    bare = Provenance("0.1.0", None, None, {}, {}, "now")
    assert library_configs.into(bare, tmp_path) == bare
    configs = [library_configs.describe("lib", Config(0.2), Config())]
    library_configs.write(tmp_path, configs)
    assert library_configs.into(bare, tmp_path).configs == tuple(configs)
    assert json.loads((tmp_path / library_configs.FILE).read_text()) == to_json(configs)
