"""Options that several commands share, and how JSON is printed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from harness.results.views import View

Home = Annotated[Path, typer.Option("--home", envvar="HARNESS_HOME", help="Folder of the store, runs and artefacts.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON with a versioned schema.")]
Experiment = Annotated[
    str | None, typer.Argument(help="Experiment file or name; without it the newest one.", show_default=False)
]
Bundle = Annotated[Path | None, typer.Option("--bundle", help="Read this bundle in place of the store.")]
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


def show_board(board: Any, as_json: bool) -> None:
    """Print a leaderboard, or its JSON."""
    from harness.results.render.json import to_json
    from harness.results.render.leaderboard import print_board

    if as_json:
        print_json(to_json(board))
    else:
        print_board(board)


def show_suite(table: Any, as_json: bool) -> None:
    """Print the table of a suite, or its JSON."""
    from harness.results.render.json import suite_to_json
    from harness.results.render.studies import print_suite

    if as_json:
        print_json(suite_to_json(table))
    else:
        print_suite(table)
