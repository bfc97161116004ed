"""Loads suite files: an experiment with `suite:`, a list of tasks or base models that it is repeated over.

suite: [{task: visit_notes}, {task: docstrings}, {task: docstrings, base_model: models/larger, name: larger}]
arms: [untrained, full, lora]          # and everything else that an experiment says
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from harness.config import SuiteItem
from harness.config.documents import Document, read_document, validate
from harness.experiments.loading.load import find_experiment, resolve_experiment
from harness.records import ResolvedExperiment

FIELDS = ("task", "base_model")


def is_suite(path: Path) -> bool:
    """Whether `path` is a readable YAML file with a `suite:`. Raises SpecError for one that is no YAML."""
    file = find_experiment(path)
    return file.is_file() and "suite" in read_document(file).value


def suite_names(path: Path) -> list[str]:
    """Names of a suite's experiments, in order. Raises SpecError."""
    return [str(document.value["name"]) for document in _documents(read_document(find_experiment(path)))]


def load_suite(path: Path, known_metrics: Collection[str] | None = None) -> list[ResolvedExperiment]:
    """Every experiment of a suite, called `SUITE.ITEM`. Raises SpecError."""
    documents = _documents(read_document(find_experiment(path)))
    return [resolve_experiment(document, known_metrics) for document in documents]


def _documents(document: Document) -> list[Document]:
    """The file once for each item, with the item's fields in place of its own."""
    value = document.value
    if "suite" not in value:
        raise document.error((), "this file is no suite", "A suite has a list `suite:` of tasks or base models")
    items = value["suite"]
    if not isinstance(items, list) or not items:
        raise document.error(("suite",), "must be a list of tasks or base models", "For example `- {task: my_task}`")
    suite = str(value.get("name") or document.file.stem)
    documents: dict[str, Document] = {}
    for number, item in enumerate(items):
        field_path = ("suite", number)
        if not isinstance(item, Mapping):
            raise document.error(field_path, "must be a mapping", "Give a task, a base_model, or both")
        spec = validate(document, field_path, SuiteItem, item)
        name = f"{suite}.{spec.name or _called(spec)}"
        if name in documents:
            raise document.error(field_path, f"two items are called {name!r}", "Give one of them another `name`")
        own = {field: item[field] for field in FIELDS if field in item}
        rest = {field: given for field, given in value.items() if field != "suite"}
        lines = dict(document.lines)
        lines |= {path[2:]: line for path, line in document.lines.items() if path[:2] == field_path and len(path) > 2}
        documents[name] = dataclasses.replace(document, value={**rest, **own, "name": name}, lines=lines)
    return list(documents.values())


def _called(spec: SuiteItem) -> str:
    base: Any = spec.base_model if isinstance(spec.base_model, str) or spec.base_model is None else spec.base_model.path
    parts = [Path(given).stem for given in (spec.task, base) if given is not None]
    return re.sub(r"[^A-Za-z0-9_-]+", "-", "-".join(parts)).strip("-") or "item"
