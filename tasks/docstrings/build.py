"""Rows of the docstrings task, from the source of the running Python's standard library.

A row is a function or method with a docstring: its code without the docstring, and the docstring's summary line. The
library's tests and the vendored lib2to3 and idlelib are left out. Nothing random: equal sources give equal rows.
Licence of the text: Python Software Foundation License.
"""

from __future__ import annotations

import ast
import hashlib
import platform
import sysconfig
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LEFT_OUT = {"test", "tests", "idlelib", "lib2to3", "site-packages", "dist-packages", "__pycache__"}
"""Folders without text worth learning from, or that are no part of the library."""
SHORTEST, LONGEST = 15, 160
"""Characters of a summary line that says something and is a line."""
RETENTION_SHORTEST, RETENTION_LONGEST = 200, 1200
"""Characters of a module docstring that serves as retention text."""


@dataclass(frozen=True, slots=True)
class Function:
    """One function: dotted name, module, code without docstring, summary line."""

    name: str
    module: str
    code: str
    summary: str


def build(max_code_chars: int = 2000, max_functions: int | None = None) -> Iterator[dict[str, Any]]:
    """Yield the rows: id, module, name, code, summary, rejected, choices, answer, python.

    Code longer than `max_code_chars` is left out. `rejected` is the summary of another function of the module (empty
    where there is none), `choices` the right summary among three others, from the module where it has enough, and
    `answer` its position. With `max_functions` only the functions with the smallest hashes are yielded.
    """
    functions = [function for function in library() if len(function.code) <= max_code_chars]
    if max_functions is not None:
        chosen = {f.name for f in sorted(functions, key=lambda f: number(f.name, "chosen"))[:max_functions]}
        functions = [function for function in functions if function.name in chosen]
    by_module: dict[str, list[str]] = {}
    for function in functions:
        by_module.setdefault(function.module, []).append(function.summary)
    everywhere = sorted({function.summary for function in functions})
    for function in functions:
        siblings = others(function, by_module[function.module])
        strangers = others(function, everywhere) if len(siblings) < 3 else []
        wrong = (siblings + [summary for summary in strangers if summary not in siblings])[:3]
        answer = number(function.name, "answer") % (len(wrong) + 1)
        yield {
            "id": function.name,
            "module": function.module,
            "name": function.name.rpartition(".")[2],
            "code": function.code,
            "summary": function.summary,
            "rejected": siblings[0] if siblings else "",
            "choices": [*wrong[:answer], function.summary, *wrong[answer:]],
            "answer": answer,
            "python": platform.python_version(),
        }


def retention(limit: int = 60) -> Iterator[dict[str, str]]:
    """Yield opening texts of modules (id, text, domain), at most `limit`: English that says nothing of any function."""
    found: list[dict[str, str]] = []
    for path, module in sorted(modules(), key=lambda item: number(item[1], "retention")):
        tree = parsed(path)
        text = (ast.get_docstring(tree) or "").strip() if tree else ""
        if len(text) >= RETENTION_SHORTEST:
            found.append({"id": module, "text": text[:RETENTION_LONGEST], "domain": "module-docstrings"})
        if len(found) == limit:
            break
    yield from sorted(found, key=lambda row: row["id"])


def library() -> list[Function]:
    """Every function and method of the standard library that has a summary line of the right length, names unique."""
    found: dict[str, Function] = {}
    for path, module in modules():
        tree = parsed(path)
        if tree is not None:
            for function in functions_in(tree, module):
                found.setdefault(function.name, function)
    return list(found.values())


def modules() -> list[tuple[Path, str]]:
    """Files and dotted names of the standard library's modules, in order."""
    root = Path(sysconfig.get_paths()["stdlib"])
    found = []
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if LEFT_OUT.isdisjoint(parts) and not parts[0].startswith(("config-", "lib-dynload")):
            names = parts[:-1] if parts[-1] == "__init__" else parts
            found.append((path, ".".join(names)))
    return found


def parsed(path: Path) -> ast.Module | None:
    """The syntax tree of a file, None where it is no Python of this version."""
    try:
        return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return None


def functions_in(tree: ast.Module, module: str) -> Iterator[Function]:
    """Functions at the top of a module and methods of its classes."""
    for node in tree.body:
        owned = [("", node)] if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else []
        if isinstance(node, ast.ClassDef):
            owned = [(f"{node.name}.", member) for member in node.body]
        for prefix, member in owned:
            if not isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            summary = " ".join((ast.get_docstring(member) or "").strip().partition("\n")[0].split())
            if SHORTEST <= len(summary) <= LONGEST and len(member.body) > 1:
                code = ast.unparse(without_docstring(member))
                yield Function(f"{module}.{prefix}{member.name}", module, textwrap.dedent(code), summary)


def without_docstring(node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
    """The function without its own docstring and those of functions inside it."""
    for inner in ast.walk(node):
        body = getattr(inner, "body", None)
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and body:
            first = body[0]
            text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            if text and isinstance(first.value.value, str):  # type: ignore[attr-defined]
                inner.body = body[1:] or [ast.Pass()]
    return node


def others(function: Function, summaries: list[str]) -> list[str]:
    """Up to three summaries that are not the function's own, in an order drawn by hash."""
    different = {summary for summary in summaries if summary.casefold() != function.summary.casefold()}
    return sorted(different, key=lambda summary: number(function.name, summary))[:3]


def number(*parts: str) -> int:
    """A number from the hash of some text."""
    return int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest()[:8], "big")
