"""`harness store …`: look after the database file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import HOME, Home, Json, print_json, print_lines, show_as


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    store = typer.Typer(no_args_is_help=True, help="Look after the database and what lies beside it.")
    for command in (info, rebuild, export, du, gc, delete):
        store.command()(command)
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


def du(home: Home = HOME, as_json: Json = False) -> None:
    """Print what the home folder holds: bytes by kind, by experiment, and of runs that were interrupted or are old."""
    from harness.experiments import upkeep

    show_as(upkeep.sizes(home), as_json, lambda sizes: sizes, lambda sizes: print_lines(upkeep.size_lines(sizes)))


def gc(
    yes: Annotated[bool, typer.Option("--yes", help="Remove it. Without this option it is only listed.")] = False,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """List, or with --yes remove, what no stored experiment needs.

    Checkpoints of interrupted runs, and models of runs that no stored experiment has. Scores and records stay.
    """
    from harness.experiments import upkeep

    garbage = upkeep.collect_garbage(home) if yes else upkeep.garbage(home)
    if as_json:
        print_json(upkeep.garbage_to_json(garbage, home, yes))
    else:
        print("\n".join(upkeep.garbage_lines(garbage, home, yes)))


def delete(
    experiment: Annotated[str, typer.Argument(help="Experiment file, name or id.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    anyway: Annotated[str, typer.Option("--anyway", help="Why a pinned baseline's run is deleted.")] = "",
    folder: Annotated[Path, typer.Option("--in", help="Where baselines are pinned.")] = Path("baselines/released"),
    home: Home = HOME,
) -> None:
    """Delete an experiment with the runs, answers and scores that no other experiment shares.

    Looks at the test split stay counted; verdicts of gates and votes of reviews stay. There is no way back.
    """
    from harness.experiments import upkeep
    from harness.release import baselines

    print_lines(upkeep.delete(home, experiment, pinned=baselines.pinned(folder), anyway=anyway, dry_run=dry_run))
