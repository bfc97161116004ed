"""The docstrings task: real rows from the running Python's library, and what each column promises."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import platform
import string
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from harness.data.examples import read_examples, read_retention
from harness.data.splits import split_source
from harness.experiments.loading.load import load_task
from harness.records import SourceData

pytestmark = pytest.mark.real

FOLDER = Path(__file__).parents[2] / "tasks" / "docstrings"


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docstrings_build_under_test", FOLDER / "build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def source() -> SourceData:
    return read_examples(*load_task(FOLDER))


def row_of(source: SourceData, name: str) -> dict[str, Any]:
    return dict(next(example.fields for example in source.examples if example.id == name))


def test_thousands_of_real_functions(source: SourceData) -> None:
    assert len(source.examples) > 4000
    modules = {example.group for example in source.examples}
    assert len(modules) > 250
    assert not [name for name in modules if set(name.split(".")) & {"test", "tests", "idlelib", "lib2to3"}]
    assert all(15 <= len(example.fields["summary"]) <= 160 for example in source.examples)
    assert len({example.id for example in source.examples}) == len(source.examples)


def test_a_row_says_what_python_says(source: SourceData) -> None:
    row = row_of(source, "string.capwords")
    assert row["module"] == "string" and row["name"] == "capwords"
    assert row["summary"] == (inspect.getdoc(string.capwords) or "").splitlines()[0]
    assert row["summary"] not in row["code"] and row["code"].startswith("def capwords(s, sep=None):")
    assert row["python"] == platform.python_version()


def test_code_has_no_docstring_left(source: SourceData) -> None:
    for example in source.examples[::25]:
        tree = ast.parse(example.fields["code"])
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        assert functions and all(ast.get_docstring(node) is None for node in functions)
        assert example.references == (" " + example.fields["summary"],)


def test_choices_hold_the_answer_once(source: SourceData) -> None:
    rows = [example.fields for example in source.examples]
    assert all(row["choices"][row["answer"]] == row["summary"] for row in rows)
    assert all(len({choice.casefold() for choice in row["choices"]}) == len(row["choices"]) == 4 for row in rows)
    places = Counter(row["answer"] for row in rows)
    assert all(count == pytest.approx(len(rows) / 4, rel=0.1) for count in places.values())


def test_pairs_are_from_siblings_and_split_by_module(source: SourceData) -> None:
    summaries: dict[str, set[str]] = {}
    for example in source.examples:
        summaries.setdefault(example.group, set()).add(" " + example.fields["summary"])
    group = {example.id: example.group for example in source.examples}
    assert len(source.pairs) > 0.9 * len(source.examples)
    assert all(
        pair.rejected in summaries[group[pair.example]] and pair.rejected != pair.chosen for pair in source.pairs
    )
    task, _ = load_task(FOLDER)
    divided = split_source(source, task.splits, task.leakage)
    splits, data = divided.splits, divided.training
    train_groups = {group[name] for name in splits.train}
    assert {group[pair.example] for pair in data.pairs} <= train_groups
    assert not train_groups & {group[pair.example] for pair in divided.heldout_pairs}
    assert not train_groups & {group[name] for name in splits.test}
    assert min(len(splits.train), len(splits.validation) * 5, len(splits.test) * 2) > 1500
    # Copies of one function in two modules keep those modules together.
    assert any({"asyncio.queues", "queue"} <= set(joined) for joined in splits.merged)


def test_retention_is_prose() -> None:
    texts = read_retention(*load_task(FOLDER))
    assert len(texts) == 60 and all(200 <= len(text.text) <= 1200 for text in texts)
    assert len({text.id for text in texts}) == 60


def test_options(build: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    some = build.modules()[:60]
    monkeypatch.setattr(build, "modules", lambda: some)
    few = list(build.build(max_functions=30))
    assert len(few) == 30 and [row["id"] for row in few] == [row["id"] for row in build.build(max_functions=30)]
    short = list(build.build(max_code_chars=200, max_functions=20))
    assert all(len(row["code"]) <= 200 for row in short)


def test_the_choice_task_asks_as_the_task_does() -> None:
    task, _ = load_task(FOLDER)
    choice = yaml.safe_load((FOLDER / "lm_eval" / "docstring_choice.yaml").read_text())
    assert choice["doc_to_text"].replace("{{code}}", "{{ code }}") == task.prompt
    assert task.lm_eval is not None and task.lm_eval.tasks == [choice["task"]]
    assert task.target is not None and task.target.startswith(choice["target_delimiter"])
