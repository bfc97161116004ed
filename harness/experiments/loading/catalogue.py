"""What an experiment can name: every metric, every method with its fields, and the stock recipes."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from harness import arms, metrics
from harness.config import ArmBase, Spec, TrainedBase, plugins
from harness.experiments.loading.load import METHODS, load_arm, stock_arms
from harness.metrics import METRICS, Metric
from harness.records import to_json
from harness.results.render.table import Table, table
from harness.results.render.writers import Indented, Part

METRIC_LIST, ARM_LIST = "harness.metrics/1", "harness.arms/1"
_NEEDS = {"prediction": "answers", "likelihood": "log-probabilities", "lm_eval": "lm-eval"}
_SUITES = {
    "test": "",
    "retention": " of the task's `retention:` text",
    "preferences": " of the task's `preferences:` pairs",
}
_FACTS, _OF_FACTS = " and the task's `facts:`", ("fact_recall", "fabrications", "omissions", "all_facts")
_NAMES = {str: "text", int: "whole number", float: "number", bool: "true or false", type(None): "null", Any: "anything"}
OWN = "Also lm-eval's `TASK/METRIC`, and your own function as `file.py:function`."


def metrics_to_json() -> dict[str, Any]:
    """Every metric that is called by a name of its own. Raises UsageError for a package that cannot be imported."""
    added = plugins.installed("harness.metrics", frozenset(METRICS))
    rows: list[tuple[Metric, str | None]] = [(known, None) for known in METRICS.values()]
    rows += [(metrics.metric(name), plugin.identity) for name, plugin in added.items()]
    return {"schema": METRIC_LIST, "metrics": [_metric(known, package) for known, package in rows]}


def _metric(known: Metric, package: str | None) -> dict[str, Any]:
    return {
        "name": known.name,
        "direction": known.direction,
        "unit": known.unit or None,
        "range": None if known.bounds is None else list(known.bounds),
        "kind": known.kind,
        "needs": _NEEDS[known.source] + _SUITES.get(known.suite, "") + (_FACTS if known.name in _OF_FACTS else ""),
        "description": known.description,
        "version": known.version,
        "package": package,
    }


def metric_view() -> list[Part]:
    """The same for people: direction and unit or range of each, then what it is and what it needs."""
    rows = []
    for row in metrics_to_json()["metrics"]:
        limits = row["range"]
        scale = row["unit"] or (f"{limits[0]:g} to {limits[1]:g}" if limits else "")
        about = ", ".join(filter(None, [f"{row['direction']} is better", scale, _package(row)]))
        rows.append([row["name"], f"({about})  {row['description']}. Needs {row['needs']}."])
    return [table(["metric", "about"], rows, words=True), "", OWN]


def arms_to_json() -> dict[str, Any]:
    """Every method with its fields, and every stock recipe with its settings."""
    added = plugins.installed("harness.arms", frozenset(arms.FAMILIES))
    methods: dict[str, type[ArmBase] | None] = {**METHODS, **{name: arms.plugin_spec(name) for name in added}}
    return {
        "schema": ARM_LIST,
        "methods": [
            {
                "method": name,
                "description": _one_line(spec.__doc__),
                "trained": issubclass(spec, TrainedBase),
                "fields": [row for row in _fields(spec) if row["field"] != "method"],
                "package": added[name].identity if name in added else None,
            }
            for name, spec in methods.items()
            if spec is not None
        ],
        "recipes": [
            {"name": name, "file": f"baselines/arms/{file.name}", "settings": load_arm(file).model_dump(mode="json")}
            for name, file in stock_arms().items()
        ],
    }


def arm_view() -> list[Part]:
    """The same for people: each method, then its fields with type, default and meaning, then the recipes."""
    listed, common = arms_to_json(), list(_fields(ArmBase))
    trained = [row for row in _fields(TrainedBase) if row not in common]
    parts: list[Part] = ["METHODS (an arm is written out with `method:` and these fields)", "", "every method"]
    parts += [_field_table(common), "", "every method that trains", _field_table(trained)]
    for method in listed["methods"]:
        training, package = " It trains." if method["trained"] else "", _package(method)
        parts += [
            "",
            method["method"] + (f" ({package})" if package else ""),
            Indented(method["description"] + training),
        ]
        parts.append(_field_table([row for row in method["fields"] if row not in [*common, *trained]]))
    recipes = []
    for recipe in listed["recipes"]:
        settings = {name: value for name, value in recipe["settings"].items() if name not in ("name", "search")}
        given = [f"{name}: {value}" for name, value in flat(settings) if value is not None]
        recipes.append([recipe["name"], ", ".join(given)])
    title = "STOCK RECIPES (an arm is also the name of one of these)"
    return [*parts, "", title, "", table(["recipe", "settings"], recipes, words=True)]


def _package(row: Mapping[str, Any]) -> str:
    return f"from {row['package']}" if row["package"] else ""


def _field_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    cells = []
    for row in rows:
        shown = "none" if row["default"] in (None, {}, []) else row["default"]
        default = "required" if row["required"] else f"default {shown}"
        cells.append([f"    {row['field']}", f"({row['type']}; {default})  {row['description']}"])
    return table(["field", "about"], cells, words=True)


def _fields(spec: type[Spec], start: str = "") -> Iterator[dict[str, Any]]:
    """A row for each field, those of a group of settings by their dotted names."""
    docs = spec.field_docs()
    for name, field in spec.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Spec):
            yield from _fields(inner, f"{start}{name}.")
            continue
        default = field.get_default(call_default_factory=True, validated_data={})
        yield {
            "field": f"{start}{name}",
            "type": type_name(inner) + _limits(field),
            "required": default is PydanticUndefined,
            "default": None if default is PydanticUndefined else to_json(default),
            "description": _one_line(docs.get(name)),
        }


def type_name(hint: Any) -> str:
    """A type as a person who writes YAML would call it."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return type_name(inner[0])
    if origin is typing.Literal:
        return ", ".join(map(str, inner))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(type_name, inner)))
    if origin is list:
        return f"list of {type_name(inner[0])}"
    if origin is dict:
        return f"mapping to {type_name(inner[1])}"
    if isinstance(hint, type) and issubclass(hint, Spec):
        return "{" + ", ".join(hint.model_fields) + "}"
    return _NAMES.get(hint, str(getattr(hint, "__name__", hint)))


def _limits(field: FieldInfo) -> str:
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    rules = [(rule, name) for rule in field.metadata for name in signs if hasattr(rule, name)]
    limits = [f"{signs[name]} {getattr(rule, name)}" for rule, name in rules]
    return f" {' and '.join(limits)}" if limits else ""


def flat(value: Mapping[str, Any], start: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values; an empty mapping has none."""
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            yield from flat(inner, f"{start}{name}.")
        else:
            yield f"{start}{name}", inner


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())
