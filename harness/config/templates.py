"""Jinja2 in a sandbox: the only place that renders a template that a person or a data set wrote.

Templates see the columns of one row by name, all of them as `row`, and nothing else: no Python internals, no files, no
imports, and an unknown name is an error rather than an empty string. What a cell looks like as text says `cells`.
"""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, Undefined, UndefinedError, meta, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from harness.config.cells import Flag, Null, as_text, cell, plain
from harness.config.documents import list_names
from harness.errors import DataError
from harness.redaction import reason

ROW = "row"
"""The name under which a template finds all columns: `{{ row["Customer Question"] }}`."""
OTHER_NAMES = f'A column whose name is no plain word is written {{{{ {ROW}["its name"] }}}}'
_VARIABLE_MARK = "\n"


def _written(value: Any) -> Any:
    """What `{{ value }}` writes; a name that is not there stays for Jinja2 to complain of."""
    return value if isinstance(value, Undefined) else as_text(value)


class _Code(CodeGenerator):
    """Compiles `a ~ b` so that both sides become text as they do when they are written out."""

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        self.write("environment.concatenated((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")

    def _output_child_to_const(self, node: nodes.Expr, frame: Frame, finalize: Any) -> str:
        if not isinstance(node, nodes.TemplateData):
            raise nodes.Impossible  # joined when it is rendered, not by Python's rules before
        return super()._output_child_to_const(node, frame, finalize)


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox, with cells in place of Python's values wherever a template could see those."""

    code_generator_class = _Code

    def __init__(self) -> None:
        super().__init__(
            undefined=StrictUndefined, keep_trailing_newline=True, finalize=_written, autoescape=False, optimized=False
        )
        self.filters = {name: _on_cells(function) for name, function in self.filters.items()}
        self.filters["tojson"] = _to_json
        self.tests |= {
            "none": lambda value: value is None or isinstance(value, Null),
            "string": lambda value: isinstance(value, str) and not isinstance(value, Null),
            "boolean": lambda value: isinstance(value, (bool, Flag)),
            "integer": lambda value: isinstance(value, int) and not isinstance(value, (bool, Flag)),
            "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, (bool, Flag)),
            "true": lambda value: isinstance(value, (bool, Flag)) and bool(value),
            "false": lambda value: isinstance(value, (bool, Flag)) and not value,
        }

    def concatenated(self, parts: tuple[Any, ...]) -> str:
        """`a ~ b ~ …`"""
        return "".join(str(_written(part)) for part in parts)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """`obj.attribute`: a key of a mapping before a method of Python's of the same name."""
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)


def _on_cells(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that is given cells and gives cells."""

    @functools.wraps(function)
    def filter_(*values: Any, **options: Any) -> Any:
        return cell(function(*(cell(value) if isinstance(value, _PLAIN) else value for value in values), **options))

    return filter_


_PLAIN = (bool, list, tuple, dict, type(None))


def _to_json(value: Any, indent: int | None = None) -> str:
    """JSON as the data has it; Jinja2's own filter sorts keys and escapes for HTML."""
    return json.dumps(plain(value), ensure_ascii=False, indent=indent)


_environment = _Environment()


@dataclass(frozen=True, slots=True)
class TemplateProblem:
    """What is wrong with a template before any row is seen; `line` counts from 1 within the template."""

    message: str
    line: int


@functools.lru_cache(maxsize=256)
def problem(template: str) -> TemplateProblem | None:
    """The first thing that makes `template` unusable whatever the row: syntax, unknown filter, reach into internals."""
    try:
        tree = _environment.parse(template)
        _environment.compile(template)
    except TemplateSyntaxError as error:
        said = _one_line(error.message or "syntax error")
        hint = f". {OTHER_NAMES}" if "expected token 'end of print statement'" in said else ""
        return TemplateProblem(f"broken template: {said}{hint}", error.lineno)
    except RecursionError:
        return TemplateProblem("broken template: nested too deeply", 1)
    for node in tree.find_all((nodes.Getattr, nodes.Getitem, nodes.Include, nodes.Import, nodes.FromImport)):
        if isinstance(node, nodes.Getattr):
            name: object = node.attr
        elif isinstance(node, nodes.Getitem):
            name = node.arg.value if isinstance(node.arg, nodes.Const) else ""
        else:
            return TemplateProblem("templates cannot include or import files", node.lineno)
        if isinstance(name, str) and name.startswith("_"):
            message = f"the template reaches for Python internals ({name!r}), which is refused"
            return TemplateProblem(message, node.lineno)
    extends = tree.find(nodes.Extends)
    return TemplateProblem("templates cannot extend files", extends.lineno) if extends else None


def names(template: str) -> frozenset[str]:
    """The column names that `template` uses (those it sets itself left out), `row["name"]` among them."""
    tree = _environment.parse(template)
    free = meta.find_undeclared_variables(tree)
    if ROW not in free:
        return frozenset(free)
    looked_up = {
        node.arg.value
        for node in tree.find_all(nodes.Getitem)
        if isinstance(node.node, nodes.Name) and node.node.name == ROW and isinstance(node.arg, nodes.Const)
    }
    return frozenset(free - {ROW} | looked_up)


def render(template: str, fields: Mapping[str, Any], where: str) -> str:
    """`template` filled with `fields`.

    `where` opens the message of the DataError that is raised for a broken template, a name that is no column, a reach
    into Python internals, or anything else that fails while rendering.
    """
    return _render(template, False, fields, where)


def render_variables(template: str, fields: Mapping[str, Any], where: str) -> str:
    """What `fields` contribute to `render`: the literal text of the template is replaced by line breaks.

    Leak checks compare this, so that a long instruction shared by every prompt does not make all prompts alike.
    """
    return _render(template, True, fields, where)


def _render(template: str, variables_only: bool, fields: Mapping[str, Any], where: str) -> str:
    broken = problem(template)
    if broken is not None:
        raise DataError(f"{where}: {broken.message}", hint=f"See line {broken.line} of the template")
    try:
        row = cell(fields)
        return _compiled(template, variables_only).render({ROW: row, **row})
    except SecurityError as error:
        raise DataError(
            f"{where}: the template reaches for Python internals, which is refused ({reason(error, _one_line(error))})",
            hint="Use columns and filters only",
        ) from None
    except UndefinedError as error:
        raise _undefined(template, fields, where, error) from None
    except RecursionError:
        raise DataError(f"{where}: the template nests too deeply") from None
    except Exception as error:
        said = reason(error, f"{type(error).__name__}: {_one_line(error)}")
        raise DataError(f"{where}: the template failed: {said}") from None


def _undefined(template: str, fields: Mapping[str, Any], where: str, error: UndefinedError) -> DataError:
    missing = sorted(name for name in names(template) if name not in fields)
    named = next((name for name in missing if f"'{name}'" in str(error)), None)
    if named is None:
        return DataError(f"{where}: the template failed: {reason(error, _one_line(error))}")
    return DataError(f"{where}: the template names {named!r}, which is not a column", hint=columns_hint(named, fields))


def columns_hint(name: str, columns: Iterable[str]) -> str:
    """What a template that names `name` could have meant, of the `columns` that there are."""
    columns = list(columns)
    near = difflib.get_close_matches(name, columns, n=1)
    parts = [f"Did you mean {near[0]!r}?"] if near else []
    parts.append(f"Columns: {list_names(columns)}")
    return " ".join(parts) + (f". {OTHER_NAMES}" if any(not column.isidentifier() for column in columns) else "")


@functools.lru_cache(maxsize=256)
def _compiled(template: str, variables_only: bool) -> Template:
    if not variables_only:
        return _environment.from_string(template)
    tree = _environment.parse(template)
    for literal in tree.find_all(nodes.TemplateData):
        literal.data = _VARIABLE_MARK
    return _environment.from_string(tree)


def _one_line(error: object) -> str:
    return " ".join(str(error).split())
