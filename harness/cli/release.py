"""`harness release`, `gate`, `export` and `parity`: parse, call, print."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal, cast

import typer

import harness
from harness.cli.options import HOME, Home, Json, print_lines, show, show_as
from harness.errors import UsageError

Run = Annotated[str, typer.Argument(help="EXPERIMENT/ARM, or EXPERIMENT/ARM@SEED.")]
Base = Annotated[str | None, typer.Option("--base", help="Where the base model lies now, if it has moved.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (release, gate, export, parity):
        app.command()(command)


def release(
    run: Run,
    called: Annotated[str, typer.Option("--as", help="Name of the baseline.")],
    folder: Annotated[Path, typer.Option("--in", help="Where baselines are pinned.")] = Path("baselines/released"),
    anyway: Annotated[str, typer.Option("--anyway", help="Why a run of a dirty working tree is pinned.")] = "",
    home: Home = HOME,
) -> None:
    """Pin a finished run as the baseline that candidates are held against."""
    from harness.release.gate import run as gates

    print_lines(gates.release(home, run, called, folder=folder, anyway=anyway))


def gate(
    file: Annotated[Path, typer.Argument(help="Gates file.")],
    candidate: Annotated[
        str, typer.Option("--candidate", help="EXPERIMENT/ARM, EXPERIMENT/ARM@SEED, or an adapter's or model's folder.")
    ],
    home: Home = HOME,
    as_json: Json = False,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write JUnit XML to this file.")] = None,
    markdown: Annotated[Path | None, typer.Option("--markdown", help="Write a summary to this file.")] = None,
    rescore_baseline: Annotated[
        bool, typer.Option("--rescore-baseline", help="Score the baseline's model again here, and compare with that.")
    ] = False,
    experiment: Annotated[
        Path | None, typer.Option("--experiment", help="Experiment file to score by; default: the baseline's.")
    ] = None,
) -> int:
    """Say whether a candidate may be released: exit code 0 pass, 1 fail, 3 inconclusive, 4 invalid, 5 not stored."""
    from harness.records.files import write_text
    from harness.release.gate import reports

    view = harness.gate(file, candidate, home=home, rescore_baseline=rescore_baseline, experiment=experiment)
    if junit is not None:
        write_text(junit, reports.as_junit(view.verdict, view.title))
    if markdown is not None:
        write_text(markdown, reports.as_markdown(view.verdict, view.title))
    show(view, as_json)
    if os.environ.get("GITHUB_ACTIONS") == "true" and not as_json:
        print("\n".join(reports.as_annotations(view.verdict)))
    if view.problem is not None:
        raise view.problem
    return view.exit_code


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
    from harness.release.shipping.export import ExportRequest, export as write

    if quantise not in (None, "nf4", "int8"):
        raise UsageError(f"--quantise {quantise!r} is unknown", hint="Give nf4 or int8")
    kind = cast(Literal["nf4", "int8"] | None, quantise)
    print_lines(write(home, run, ExportRequest(to, merge, kind, dockerfile, base)))


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
    as_json: Json = False,
) -> int:
    """Say whether what ships scores as its run: exit code 0 equivalent, 1 different, 3 inconclusive, 4 invalid.

    It is scored on the same sealed examples, which counts as a test-set evaluation.
    """
    from harness.progress import Reporter
    from harness.records import PARITY_CODES
    from harness.release.shipping import parity as checks
    from harness.release.shipping.shipped import Server

    request = checks.ParityRequest(artefact, margin, metric, confidence, Server(model, api, key_env), base)
    with Reporter() as reporter:
        check = checks.run_check(home, run, request, reporter)
    show_as(check, as_json, lambda _: checks.as_json(check, run), lambda _: print_lines(checks.as_lines(check, run)))
    return PARITY_CODES[check.outcome]
