"""Every YAML, JSON and Python block of the manual is valid by the definitions that read such files."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pydantic
import pytest
import yaml
from manual import ROOT, Block, blocks

from harness.config import ArmSpec, BaseModelSpec, ExperimentSpec, GateRule, GateSpec, SuiteItem, TaskSpec

YAML = blocks("yaml", "yml")
TASK: dict[str, Any] = {
    "name": "t",
    "data": {"path": "rows.jsonl", "licence": "CC0-1.0"},
    "prompt": "{{ a }}",
    "target": "{{ b }}",
    "metrics": {"primary": "rouge_l"},
}
EXPERIMENT: dict[str, Any] = {"task": "t", "base_model": "b", "arms": ["untrained"], "budget": {"examples": 1}}
GATES: dict[str, Any] = {"baseline": "b", "rules": [{"metric": "rouge_l", "floor": 0.5}]}
ARM = pydantic.TypeAdapter(ArmSpec)


def kind_of(value: dict[str, Any]) -> str:
    """What a file or a part of one is, by its top keys."""
    keys = set(value)
    if "repos" in keys:
        return "hooks"
    if "output_type" in keys:
        return "lm-eval"
    if "method" in keys:
        return "arm"
    if "suite" in keys:
        return "suite"
    # A part belongs to the file that knows all of its keys, and whole files name what is required.
    for kind, spec in (("experiment", ExperimentSpec), ("task", TaskSpec), ("gates", GateSpec)):
        if keys <= set(spec.model_fields):
            return kind
    return "unknown"


def validate(value: dict[str, Any]) -> None:
    kind = kind_of(value)
    if kind == "experiment":
        ExperimentSpec.model_validate(EXPERIMENT | value)
    elif kind == "task":
        whole = {} if "messages" in value else TASK
        if "references" in value:
            whole = {key: part for key, part in TASK.items() if key != "target"}
        TaskSpec.model_validate(whole | value)
    elif kind == "gates":
        validate_gates(value)
    elif kind == "arm":
        ARM.validate_python(value)
    elif kind == "suite":
        items = [SuiteItem.model_validate(item) for item in value["suite"]]
        assert items
        ExperimentSpec.model_validate(EXPERIMENT | {key: part for key, part in value.items() if key != "suite"})
    elif kind == "lm-eval":
        assert {"task", "dataset_path", "doc_to_text", "doc_to_target", "metric_list"} <= set(value)
    elif kind == "hooks":
        assert all(hook["entry"] for repository in value["repos"] for hook in repository["hooks"])
    else:
        raise AssertionError(f"no file has the keys {sorted(value)}")


def validate_gates(value: dict[str, Any]) -> None:
    waivers = [one | {"expires": str(one["expires"])} for one in value.get("waivers", [])]
    GateSpec.model_validate(GATES | value | {"waivers": waivers})


@pytest.mark.parametrize("block", YAML, ids=str)
def test_a_yaml_block_is_valid(block: Block) -> None:
    value = yaml.safe_load(block.text)
    assert isinstance(value, dict) and value
    validate(value)


def test_every_kind_of_file_is_shown() -> None:
    kinds = {kind_of(yaml.safe_load(block.text)) for block in YAML}
    assert kinds == {"experiment", "task", "gates", "arm", "suite", "lm-eval", "hooks"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"budgett": {"examples": 3}},
        {"winner": {"margn": 0.1}},
        {"method": "lora", "optimizer": {}},
        {"rules": [{"metric": "rouge_l", "flor": 1}]},
        {"suite": [{}]},
        {"splits": {"test": 2}},
    ],
)
def test_a_wrong_block_is_noticed(wrong: dict[str, Any]) -> None:
    with pytest.raises((AssertionError, pydantic.ValidationError)):
        validate(wrong)


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_a_json_block_holds_one_object_a_line(block: Block) -> None:
    assert all(isinstance(json.loads(line), dict) for line in block.text.splitlines())


@pytest.mark.parametrize("block", [block for block in blocks("python") if "import harness" not in block.text], ids=str)
def test_a_python_block_is_complete(block: Block, tmp_path: Path) -> None:
    """It compiles and runs; what looks like a metric is loaded as one."""
    from harness.metrics.user_metrics import load_metric

    tree = ast.parse(block.text)
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    scope: dict[str, Any] = {"__name__": "block"}
    exec(compile(tree, str(block), "exec"), scope)
    assert names and all(callable(scope[name]) for name in names)
    for name in names:
        if hasattr(scope[name], "direction"):
            (tmp_path / "block.py").write_text(block.text)
            assert load_metric(f"block.py:{name}", tmp_path).direction in ("higher", "lower")


def test_the_builder_of_the_manual_yields_rows(tmp_path: Path) -> None:
    import sqlite3

    from harness.data.rows import read_builder

    [block] = [one for one in blocks("python") if "def rows(" in one.text]
    (tmp_path / "build.py").write_text(block.text)
    database = tmp_path / "tickets.sqlite"
    with sqlite3.connect(database) as connection:
        connection.execute("create table tickets (id text, customer text, body text, summary text)")
        connection.execute("insert into tickets values ('1', 'acme', 'a b', 'c')")
    connection.close()
    found = read_builder("build.py:rows", {"database": str(database)}, tmp_path)
    assert [row.values["customer"] for row in found] == ["acme"]


def test_dotted_fields_of_the_manual_exist() -> None:
    """What running text calls `generate.stop` or `winner.estimand` is a field of a spec."""
    import re

    specs = {"data": TaskSpec, "splits": TaskSpec, "generate": TaskSpec, "metrics": TaskSpec, "leakage": TaskSpec}
    specs |= {name: ExperimentSpec for name in ("winner", "chat", "budget", "resources", "tuning", "racing", "serving")}
    for page in sorted((ROOT / "docs").glob("*.md")):
        for first, second in re.findall(r"`([a-z_]+)\.([a-z_]+)`", page.read_text(encoding="utf8")):
            if first in specs:
                inner = specs[first].model_fields[first].annotation
                fields = {name for kind in _specs(inner) for name in kind.model_fields}
                assert second in fields, f"{page.name}: {first}.{second}"
            elif first == "base_model":
                assert second in BaseModelSpec.model_fields, f"{page.name}: {first}.{second}"


def _specs(annotation: Any) -> list[Any]:
    from typing import get_args

    if hasattr(annotation, "model_fields"):
        return [annotation]
    return [kind for inner in get_args(annotation) for kind in _specs(inner)]


def test_rules_of_the_gates_page_cover_every_subject() -> None:
    [block] = [one for one in YAML if one.page.name == "gates.md" and "rules:" in one.text]
    rules = [GateRule.model_validate(rule) for rule in yaml.safe_load(block.text)["rules"]]
    assert {rule.subject for rule in rules} == {"metric", "measure", "flag", "parity"}
