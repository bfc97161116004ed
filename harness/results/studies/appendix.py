"""The hyper-parameter appendix: every setting that was in force, arm by arm, and what differs from a library's default.

Three sources: the experiment and its recipes as stored (with this harness's own defaults filled in), the values that
tuning chose, and the configuration objects that training and decoding handed to libraries, written down when they were
used. Nothing is derived again with the libraries that happen to be installed when the appendix is printed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.records import LibraryConfig, RunRecord, Trial, from_json
from harness.results.collect import Results, by_arm
from harness.results.leaderboard.costs import OUTSIDE
from harness.results.studies.tuning import arm_tunings

UNTRAINED = ("untrained", "few_shot")
_OWN_WORDS = ("prompt", "system", "template")
"""Fields with a text for a model: an appendix says that there is one."""
_NO_SETTING = ("name", "method", "search", "description")


@dataclass(frozen=True, slots=True)
class Value:
    """A setting of one arm."""

    text: str
    differs: bool = False
    """From the library's default."""
    recipe: str = ""
    """What the recipe said, where tuning chose another value."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting over all arms; arms that have no such setting are left out of `values`."""

    name: str
    values: Mapping[str, Value]
    default: str | None = None
    """The library's; None where it has none, or where it differs between the versions that were used."""


@dataclass(frozen=True, slots=True)
class Block:
    """The recipes, or one configuration object."""

    title: str
    library: str
    """Empty for the recipes."""
    settings: tuple[Setting, ...]

    @property
    def different(self) -> tuple[Setting, ...]:
        """Settings that differ from the library's default in some arm; of what has no default, all."""
        return tuple(s for s in self.settings if s.default is None or any(v.differs for v in s.values.values()))

    @property
    def untouched(self) -> tuple[Setting, ...]:
        """Settings that every arm left as the library has them."""
        different = {setting.name for setting in self.different}
        return tuple(setting for setting in self.settings if setting.name not in different)

    @property
    def has_default(self) -> bool:
        """Whether a setting that differs has a library's default."""
        return any(setting.default is not None for setting in self.different)

    @property
    def left(self) -> str:
        """The untouched settings with their values, in words."""
        return ", ".join(f"{setting.name} {setting.default}" for setting in self.untouched)


@dataclass(frozen=True, slots=True)
class Appendix:
    """All settings of one experiment."""

    name: str
    arms: tuple[str, ...]
    shared: tuple[tuple[str, str], ...]
    """What holds for all arms: setting and value."""
    recipes: Block
    libraries: tuple[Block, ...]
    versions: tuple[tuple[str, str], ...]
    """Package and version; several versions with the arms that had them."""
    notes: tuple[str, ...]


def appendix(results: Results) -> Appendix:
    """The settings of an experiment, as far as they were stored."""
    entries = by_arm(results.entries)
    runs = {(run.train_id, run.attempt): run for run in results.runs}
    decoding = {evaluation.eval_id: evaluation.generation.get("config") for evaluation in results.evaluations}
    used, configs = {}, {}
    for arm, own in entries.items():
        used[arm] = [run for entry in own if (run := runs.get((entry.train_id, entry.attempt))) is not None]
        # What the answers were decoded with, for each seed.
        stored = [config for entry in own if (config := decoding.get(entry.eval_id or ""))]
        configs[arm] = [config for run in used[arm] for config in run.provenance.configs]
        configs[arm] += [from_json(LibraryConfig, config) for config in stored]
    return Appendix(
        name=results.experiment.name,
        arms=tuple(entries),
        shared=tuple(_shared(results)),
        recipes=_recipes(results, list(entries)),
        libraries=tuple(_blocks(configs)),
        versions=tuple(_versions(used)),
        notes=tuple(_notes(used)),
    )


# ------------------------------------------------------------------------------------------------------------- ours


def _shared(results: Results) -> list[tuple[str, str]]:
    """Settings of the experiment and the task."""
    record = results.experiment
    spec, task = record.spec, record.task
    base = dict(spec["base_model"]) if isinstance(spec.get("base_model"), Mapping) else {"path": spec.get("base_model")}
    base["path"] = str(base["path"]).replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    chosen: dict[str, Any] = {
        "task": f"{task.get('name')} v{task.get('version', 1)}",
        "task.fingerprint": record.task_fingerprint,
        "task.splits": dict(record.split_sizes),
        **_flat({"base_model": base, "generate": task.get("generate") or {}, "chat": spec.get("chat") or {}}),
        "base_model.hash": record.base_hash,
        **_flat({"budget": {name: value for name, value in (spec.get("budget") or {}).items() if value is not None}}),
        "seeds": list(spec.get("seeds") or []),
        **_flat({"seeds": {name: value for name, value in record.seeds.items() if name != "training"}}),
        **_flat({name: spec[name] for name in ("tuning", "winner") if spec.get(name)}),
        **{name: spec[name] for name in ("stop_on", "data_fraction", "reference") if name in spec},
    }
    return [(name, shown(value)) for name, value in chosen.items() if value is not None]


def _recipes(results: Results, arms: Sequence[str]) -> Block:
    """The arms' recipes with what tuning chose in its place."""
    written = [arm for arm in results.experiment.spec.get("arms", []) if isinstance(arm, Mapping)]
    specs = {str(arm.get("name") or arm["method"]): arm for arm in written}
    chosen = {arm.arm: arm.chosen for arm in arm_tunings(results.trials) if arm.chosen is not None}
    rows: dict[str, dict[str, Value]] = {}
    for arm in arms:
        spec = specs.get(arm, {})
        rows.setdefault("method", {})[arm] = Value(str(spec.get("method", arm)))
        settings = _flat({name: value for name, value in spec.items() if name not in _NO_SETTING})
        for name, value in settings.items():
            if value is not None:
                rows.setdefault(name, {})[arm] = _tuned(name, value, chosen.get(arm))
    return Block("recipes", "", tuple(Setting(name, values) for name, values in rows.items()))


def _tuned(name: str, value: Any, trial: Trial | None) -> Value:
    tried = trial.values if trial is not None else {}
    key = next((key for key in tried if name in (key, f"optimiser.{key}", f"lora.{key}", f"quantisation.{key}")), None)
    if key is None or tried[key] == value:
        return Value(shown(value))
    return Value(shown(tried[key]), recipe=shown(value))


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested settings by dotted names; a text for a model becomes the fact that there is one, a path its last part."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        whole = f"{before}{name}"
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{whole}.")
        elif name in _OWN_WORDS and value is not None:
            flat[whole] = "own"
        elif name == "path" and isinstance(value, str) and before == "":
            flat[whole] = value.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
        else:
            flat[whole] = value
    return flat


# -------------------------------------------------------------------------------------------------------- libraries


def _blocks(configs: Mapping[str, Sequence[LibraryConfig]]) -> list[Block]:
    """One block for each kind of object, in the order in which they first come."""
    kinds: dict[tuple[str, str], dict[str, list[LibraryConfig]]] = {}
    for arm, own in configs.items():
        for config in own:
            kinds.setdefault((config.library, config.name), {}).setdefault(arm, []).append(config)
    return [_block(library, name, arms) for (library, name), arms in kinds.items()]


def _block(library: str, name: str, arms: Mapping[str, Sequence[LibraryConfig]]) -> Block:
    every = [config for seeds in arms.values() for config in seeds]
    settings = []
    for field in sorted({field for config in every for field in config.values}):
        having = {arm: [config for config in seeds if field in config.values] for arm, seeds in arms.items()}
        values = {arm: _value(field, seeds) for arm, seeds in having.items() if seeds}
        stocks = {
            shown(config.changed.get(field, config.values[field])) if config.has_default else None
            for seeds in having.values()
            for config in seeds
        }
        settings.append(Setting(field, values, next(iter(stocks)) if len(stocks) == 1 else None))
    return Block(name, library, tuple(settings))


def _value(field: str, seeds: Sequence[LibraryConfig]) -> Value:
    """The value of an arm; where its seeds differ, all of them."""
    texts = dict.fromkeys(shown(config.values[field]) for config in seeds)
    return Value(" / ".join(texts), differs=any(field in config.changed for config in seeds))


def _versions(used: Mapping[str, Sequence[RunRecord]]) -> list[tuple[str, str]]:
    """Packages of all finals; with several versions of one, the arms that had each."""
    versions: dict[str, dict[str, list[str]]] = {}
    for arm, runs in used.items():
        for run in runs:
            for name, version in {"harness": run.provenance.harness_version, **run.provenance.packages}.items():
                arms = versions.setdefault(name, {}).setdefault(version, [])
                arms += [] if arm in arms else [arm]
    lines = []
    for name, by in versions.items():
        several = "; ".join(f"{version} ({', '.join(arms)})" for version, arms in by.items())
        lines.append((name, next(iter(by)) if len(by) == 1 else several))
    return lines


def _notes(used: Mapping[str, Sequence[RunRecord]]) -> list[str]:
    notes = []
    outside = [arm for arm, runs in used.items() if any(run.method in OUTSIDE for run in runs)]
    trained = [arm for arm, runs in used.items() if runs and arm not in outside and runs[0].method not in UNTRAINED]
    old = [arm for arm in trained if not all(run.provenance.configs for run in used[arm] if run.status == "ok")]
    if old:
        notes.append(
            f"the library settings of {', '.join(old)} were not stored: trained by an older harness, so they stay out"
        )
    if outside:
        notes.append(f"{', '.join(outside)}: trained elsewhere, with settings that are not known here")
    return notes


def shown(value: Any) -> str:
    """A value as people write it: `true`, `2e-05`, `none`, lists and mappings in JSON's way."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    if isinstance(value, (Mapping, list, tuple)):
        return json.dumps(value, ensure_ascii=False) if value else "none"
    return str(value)
