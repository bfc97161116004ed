"""Jinja2 in a sandbox: the only place that renders a template that a person or a data set wrote.

Templates see the columns of one row and nothing else: no Python internals, no files, no imports, and an unknown name is
an error rather than an empty string.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, UndefinedError, meta, nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from harness.errors import DataError
from harness.redaction import reason

_VARIABLE_MARK = "\n"
_environment = ImmutableSandboxedEnvironment(
    undefined=StrictUndefined,
    autoescape=False,
    keep_trailing_newline=True,
    # An empty cell is no text; without this it would read "None".
    finalize=lambda value: "" if value is None else value,
)


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
        return TemplateProblem(f"broken template: {_one_line(error.message or 'syntax error')}", error.lineno)
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
    """The column names that `template` uses (those it sets itself left out)."""
    return frozenset(meta.find_undeclared_variables(_environment.parse(template)))


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
        return _compiled(template, variables_only).render(fields)
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
    near = difflib.get_close_matches(named, [str(name) for name in fields], n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    return DataError(
        f"{where}: the template names {named!r}, which is not a column",
        hint=f"{hint}Columns: {', '.join(str(name) for name in fields) or 'none'}",
    )


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
