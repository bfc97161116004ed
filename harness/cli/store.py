"""`harness store …`: look after the database file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import HOME, Home, Json, print_json


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    store = typer.Typer(no_args_is_help=True, help="Look after the database file.")
    store.command()(info)
    store.command()(rebuild)
    store.command()(export)
    app.add_typer(store, name="store")


def info(home: Home = HOME, as_json: Json = False) -> None:
    """Print the rows of every table and the stored experiments."""
    from harness.results import queries

    info = queries.store_info(home)
    if as_json:
        print_json(info)
    else:
        for name, rows in info["tables"].items():
            print(f"{name:<16}{rows:>10}")
        for line in info["experiments"]:
            print(f"{line['name']:<24}{line['experiment_id']}  {line['created']}")


def rebuild(home: Home = HOME) -> None:
    """Make the database again from the run folders and the journal of votes; adds what is missing, removes nothing."""
    from harness.experiments import rescore

    print(rescore.rebuild(home))


def export(
    folder: Annotated[Path, typer.Argument(help="New folder for parquet files and the schema.")], home: Home = HOME
) -> None:
    """Write every table as a parquet file, readable by any later DuckDB."""
    from harness.results import queries

    print(queries.export(home, folder))
