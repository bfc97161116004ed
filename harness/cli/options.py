"""Options that several commands share, and how JSON is printed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.results.leaderboard.rows import Leaderboard
    from harness.results.studies.suite import SuiteTable
    from harness.results.views import View

R = TypeVar("R")

Home = Annotated[Path, typer.Option("--home", envvar="HARNESS_HOME", help="Folder of the store, runs and artefacts.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON with a versioned schema.")]
Experiment = Annotated[
    str | None, typer.Argument(help="Experiment file or name; without it the newest one.", show_default=False)
]
Bundle = Annotated[Path | None, typer.Option("--bundle", help="Read this bundle in place of the store.")]
Host = Annotated[str, typer.Option("--host", help="Address to listen on.")]
Port = Annotated[int, typer.Option("--port", help="Port to listen on.")]
PublicUrl = Annotated[str | None, typer.Option("--public-url", help="Where others reach it, behind a proxy with TLS.")]
HOME = Path(".harness")


def print_json(value: Any) -> None:
    """Print a value as indented JSON."""
    import json

    json.dump(value, sys.stdout, indent=2, ensure_ascii=False, allow_nan=False)
    print()


def show(view: View, as_json: bool) -> None:
    """Print a result of the Python interface, or its JSON."""
    if as_json:
        print_json(view.to_dict())
    else:
        print(view)


def show_as(result: R, as_json: bool, to_json: Callable[[R], Any], print_text: Callable[[R], None]) -> None:
    """Print a result for people, or its JSON."""
    if as_json:
        print_json(to_json(result))
    else:
        print_text(result)


def chosen(forms: Mapping[str, R], form: str) -> R:
    """The form that `--format` names. Raises UsageError."""
    if form not in forms:
        raise UsageError(f"--format {form!r} is unknown", hint=f"Give one of {', '.join(forms)}")
    return forms[form]


def print_lines(lines: Iterable[str]) -> None:
    """Print each of them."""
    for line in lines:
        print(line)


def show_board(board: Leaderboard, as_json: bool) -> None:
    """Print a leaderboard, or its JSON."""
    from harness.results.render.json import to_json
    from harness.results.render.leaderboard import print_board

    show_as(board, as_json, to_json, print_board)


def show_suite(table: SuiteTable, as_json: bool) -> None:
    """Print the table of a suite, or its JSON."""
    from harness.results.render.json import suite_to_json
    from harness.results.render.studies import print_suite

    show_as(table, as_json, suite_to_json, print_suite)
