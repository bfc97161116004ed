"""No text that the source composes shows a piece of the data, except through the functions of `harness.redaction`."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Set
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "harness"
DATA = {
    *("id", "ids", "example", "example_id", "example_ids", "group", "fields", "comment", "dropped", "kept"),
    *("prompt", "messages", "content", "target", "references", "chosen", "rejected"),
    *("completion", "prediction", "text_a", "text_b"),
}
"""Attributes that hold an example's id, texts or columns."""
LOCALS = {"example", "example_id", "prompt", "completion", "prediction", "references", "rejected"}
"""Names of local variables that hold the same."""
THROUGH = {"named", "quoted", "reason", "len", "type"}
"""Calls that may be given data: the functions of `harness.redaction`, and what keeps nothing of its argument."""
ALLOWED = {
    **dict.fromkeys(("round_.id", "round_votes.round.id", "status.id", "closed.id"), "names a round of review"),
    **dict.fromkeys(("last.id", "newest.id"), "names a round of review"),
    **dict.fromkeys(("call.id", "each.id", "final.id"), "names a gate call"),
    **dict.fromkeys(
        ("task.group", "task.messages", "reader.task.id", "reader.task.references"), "a column that the task file names"
    ),
    "pair.example": "keys a likelihood request",
    **dict.fromkeys(("message.content", "turn.content"), "the prompt itself, for those who may read it"),
    "sample.example": "a comparison holds no samples of a sensitive task",
    "example.prompt": "a sample that `check` prints of a task that is not sensitive",
    **dict.fromkeys(("own.chosen", "best"), "the settings that tuning chose"),
    "rule.dropped": "names a metric that a rule gave up",
}
"""Expressions that look like data, and what they hold."""


def _called(node: ast.AST) -> str:
    function = node.func if isinstance(node, ast.Call) else None
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _raw(expression: ast.AST, names: Set[str]) -> Iterator[str]:
    """Pieces of data in an expression that reach its value without one of the calls of `THROUGH`."""
    if _called(expression) in THROUGH:
        return
    if isinstance(expression, ast.Attribute) and expression.attr in DATA:
        yield ast.unparse(expression)
    elif isinstance(expression, ast.Name) and expression.id in names:
        yield expression.id
    else:
        for part in ast.iter_child_nodes(expression):
            yield from _raw(part, names)


def _holding_data(function: ast.AST) -> set[str]:
    """Local names to which a function gives data as it is: `ids = [example.id for example in examples]`."""
    plain = (ast.Attribute, ast.Subscript, ast.ListComp, ast.SetComp)
    given = [node for node in ast.walk(function) if isinstance(node, ast.Assign) and isinstance(node.value, plain)]
    held = [
        node.targets for node in given if set(_raw(getattr(node.value, "elt", node.value), LOCALS)) - ALLOWED.keys()
    ]
    return {target.id for targets in held for target in targets if isinstance(target, ast.Name)}


def shown_raw(source: str) -> set[tuple[int, str]]:
    """Lines and expressions of data that an f-string, or what makes an error, shows as it is."""
    shown = set()
    for function in ast.walk(ast.parse(source)):
        if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Module)):
            continue
        names = LOCALS | (set() if isinstance(function, ast.Module) else _holding_data(function))
        for node in ast.walk(function):
            if isinstance(node, ast.FormattedValue) or _called(node).endswith(("Error", "Failed", "warn", "format")):
                parts = [node.value] if isinstance(node, ast.FormattedValue) else ast.iter_child_nodes(node)
                shown |= {(node.lineno, piece) for part in parts for piece in _raw(part, names)}
    return shown


SOURCES = {
    path.relative_to(PACKAGE).as_posix(): path.read_text()
    for path in PACKAGE.rglob("*.py")
    if "stock" not in path.parts
}


def test_every_text_shows_data_through_one_door() -> None:
    shown = {(path, *piece) for path, source in SOURCES.items() for piece in shown_raw(source)}
    wrong = [f"{path}:{line}: {piece}" for path, line, piece in sorted(shown) if piece not in ALLOWED]
    assert not wrong, "give these to redaction.named or redaction.quoted, or say in ALLOWED what they hold"


def test_nothing_is_allowed_that_does_not_occur() -> None:
    assert [piece for piece in ALLOWED if not any(piece in source for source in SOURCES.values())] == []


@pytest.mark.parametrize(
    ("body", "piece"),
    [
        ('raise ModelError(f"the template writes example {shot.id} differently")', "shot.id"),
        ('raise DataError("no prompt in " + row.example_id)', "row.example_id"),
        ('say(f"such as {row.prompt[:40]!r}")', "row.prompt"),
        ("say(f\"{', '.join(pair.dropped for pair in pairs)}\")", "pair.dropped"),
        ('names = [row.id for row in rows]\n    note = f"such as {names[:3]}"', "names"),
        ("warnings.warn(answer.completion)", "answer.completion"),
        ('log("{}".format(row.target))', "row.target"),
    ],
)
def test_data_in_a_text_is_noticed(body: str, piece: str) -> None:
    assert {shown for _, shown in shown_raw(f"def f(rows):\n    {body}\n")} == {piece}
    before, _, after = body.rpartition(piece)
    assert shown_raw(f"def f(rows):\n    {before}redaction.named({piece}){after}\n") == set()
