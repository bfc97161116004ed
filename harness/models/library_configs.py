"""Configuration objects of libraries as they were used, as plain records: every field, and what differs from a default.

Written down where they are used, by the process that uses them, because a later version of a library may have other
defaults. Kept in the run folder as `resolved.json`, and with the run's provenance in the store.
"""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.records import LibraryConfig, Provenance, from_json
from harness.records.files import read_json, write_json

FILE = "resolved.json"
LEFT_OUT = frozenset(
    {
        *("output_dir", "logging_dir", "run_name", "local_rank", "seed", "data_seed", "use_cpu", "no_cuda"),
        *("dataloader_pin_memory", "hub_model_id", "hub_token", "push_to_hub_token", "base_model_name_or_path"),
        *("transformers_version", "peft_version", "deepspeed", "fsdp_config", "accelerator_config"),
    }
)
"""Fields that hold a path, a name, a secret, a version, the device or the seed: what belongs to the machine or the run,
not to the setting. Versions, hardware and seeds stand elsewhere in a run's record."""
_PATH = re.compile(r"^(~|[A-Za-z]:)?[/\\]")
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def describe(
    library: str, config: object, default: object | None, *, name: str = "", without: Sequence[str] = ()
) -> LibraryConfig:
    """A configuration object of `library` with every public field, but for those in LEFT_OUT and `without`.

    `default` is what the library makes of it without being told anything; None where it makes nothing. Objects are
    mappings, dataclasses, or have a `to_dict`. Absent, `none`, empty text and an empty list say the same.
    """
    skipped = {*LEFT_OUT, *without}
    values = {key: value for key, value in _fields(config).items() if not key.startswith("_") and key not in skipped}
    values = {key: value for key, value in values.items() if not (isinstance(value, str) and _PATH.match(value))}
    stock = None if default is None else _fields(default)
    both = [key for key in values if stock is not None and key in stock]
    changed = {key: stock[key] for key in both if stock is not None and not _same(stock[key], values[key])}
    return LibraryConfig(
        library, name or type(config).__name__, dict(sorted(values.items())), changed, stock is not None
    )


def write(folder: Path, configs: Sequence[LibraryConfig]) -> None:
    """Keep the configurations of a training in its run folder, in place of those of an earlier attempt."""
    write_json(folder / FILE, list(configs))


def into(provenance: Provenance, folder: Path) -> Provenance:
    """`provenance` with what the training in run folder `folder` wrote down, if it did."""
    path = folder / FILE
    configs = tuple(from_json(LibraryConfig, one) for one in read_json(path)) if path.exists() else ()
    return dataclasses.replace(provenance, configs=configs)


def _fields(config: object) -> dict[str, Any]:
    if isinstance(config, Mapping):
        fields: Mapping[str, Any] = config
    elif hasattr(config, "to_dict"):
        fields = config.to_dict()
    elif dataclasses.is_dataclass(config):
        fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    else:
        raise TypeError(f"{type(config).__name__} is no configuration")
    return {str(key): _plain(value) for key, value in fields.items()}


def _same(value: Any, other: Any) -> bool:
    empty: tuple[Any, ...] = (None, "", "none", [], {})
    return value == other or (value in empty and other in empty)


def _plain(value: Any) -> Any:
    """A value as JSON has it, the same for the same setting: sets sorted, enumerations and types by name."""
    if isinstance(value, enum.Enum):
        return _plain(value.value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(map(_plain, value), key=str)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return _ADDRESS.sub("", str(value))
