"""`harness export` and `harness parity`: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from harness.cli.options import HOME, Home, print_json
from harness.errors import UsageError

Run = Annotated[str, typer.Argument(help="EXPERIMENT/ARM, or EXPERIMENT/ARM@SEED.")]
Base = Annotated[str | None, typer.Option("--base", help="Where the base model lies now, if it has moved.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(export)
    app.command()(parity)


def export(
    run: Run,
    to: Annotated[Path, typer.Option("--to", help="New folder.")],
    merge: Annotated[bool, typer.Option("--merge", help="A whole model, the adapter merged into its base.")] = False,
    quantise: Annotated[
        str | None, typer.Option("--quantise", help="nf4 or int8, by bitsandbytes; of the merged model.")
    ] = None,
    dockerfile: Annotated[bool, typer.Option("--dockerfile", help="Also a Dockerfile that serves it.")] = False,
    base: Base = None,
    home: Home = HOME,
) -> None:
    """Write what ships of a finished run: weights, a model card with its results, and the hashes of all files."""
    from harness.release.shipping.export import Wanted
    from harness.release.shipping.export import export as write

    if quantise not in (None, "nf4", "int8"):
        raise UsageError(f"--quantise {quantise!r} is unknown", hint="Give nf4 or int8")
    kind = cast(Literal["nf4", "int8"] | None, quantise)
    for line in write(home, run, Wanted(to, merge, kind, dockerfile, base)):
        print(line)


def parity(
    run: Run,
    artefact: Annotated[str, typer.Option("--artefact", help="Folder (adapter or model), or URL of a server.")],
    margin: Annotated[
        float | None,
        typer.Option("--margin", help="Largest difference that does not matter; default: the winner rule's."),
    ] = None,
    metric: Annotated[str | None, typer.Option("--metric", help="Default: the task's primary metric.")] = None,
    confidence: Annotated[float, typer.Option("--confidence", help="Of each of the two one-sided tests.")] = 0.95,
    model: Annotated[str | None, typer.Option("--model", help="Name by which a server knows the model.")] = None,
    api: Annotated[str, typer.Option("--api", help="Of a server: completions or chat.")] = "completions",
    key_env: Annotated[str | None, typer.Option("--key-env", help="Environment variable with a server's key.")] = None,
    base: Base = None,
    home: Home = HOME,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON with a versioned schema.")] = False,
) -> int:
    """Say whether what ships scores as its run: exit code 0 equivalent, 1 different, 3 inconclusive, 4 invalid.

    It is scored on the same sealed examples. A counted look at the test split.
    """
    from harness.progress import Reporter
    from harness.records import PARITY_CODES
    from harness.release.shipping import told
    from harness.release.shipping.parity import Asked, check
    from harness.release.shipping.shipped import Server

    asked = Asked(artefact, margin, metric, confidence, Server(model, api, key_env), base)
    with Reporter() as reporter:
        made = check(home, run, asked, reporter)
    if as_json:
        print_json(told.as_json(made, run))
    else:
        print("\n".join(told.as_lines(made, run)))
    return PARITY_CODES[made.outcome]
