"""`harness release` and `harness gate`: parse, call, print."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import HOME, Home, print_json

if TYPE_CHECKING:
    from harness.release.gate.run import Judged


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(release)
    app.command()(gate)


def release(
    run: Annotated[str, typer.Argument(help="EXPERIMENT/ARM, or EXPERIMENT/ARM@SEED.")],
    called: Annotated[str, typer.Option("--as", help="Name of the baseline.")],
    folder: Annotated[Path, typer.Option("--in", help="Where baselines are pinned.")] = Path("baselines/released"),
    anyway: Annotated[str, typer.Option("--anyway", help="Why a run of a dirty working tree is pinned.")] = "",
    home: Home = HOME,
) -> None:
    """Pin a finished run as the baseline that candidates are held against."""
    from harness.release.gate import run as gates

    for line in gates.release(home, run, called, folder=folder, anyway=anyway):
        print(line)


def gate(
    file: Annotated[Path, typer.Argument(help="Gates file.")],
    candidate: Annotated[
        str, typer.Option("--candidate", help="EXPERIMENT/ARM, EXPERIMENT/ARM@SEED, or an adapter's or model's folder.")
    ],
    home: Home = HOME,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON with a versioned schema.")] = False,
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
    from harness.progress import Reporter
    from harness.release.gate import run as gates

    with Reporter() as reporter:
        found = gates.gate(home, file, candidate, gates.Scoring(rescore_baseline, experiment), reporter)
    _report(found, candidate, (junit, markdown), as_json)
    if found.problem is not None:
        raise found.problem
    return found.verdict.exit_code


def _report(found: Judged, candidate: str, files: tuple[Path | None, Path | None], as_json: bool) -> None:
    """Print the verdict and write it to `files` (JUnit XML, Markdown)."""
    from harness.records import to_json
    from harness.records.files import write_text
    from harness.release.gate import reports

    call, (junit, markdown) = found.call, files
    title = f"{candidate} against {found.baseline.name} ({call.reason})"
    if junit is not None:
        write_text(junit, reports.as_junit(found.verdict, title))
    if markdown is not None:
        write_text(markdown, reports.as_markdown(found.verdict, title))
    if as_json:
        about = {name: value for name, value in to_json(call).items() if name != "verdict"}
        print_json(reports.as_json(found.verdict, {**about, "candidate": candidate}))
    else:
        print("\n".join(reports.as_lines(found.verdict, title)))
    if os.environ.get("GITHUB_ACTIONS") == "true" and not as_json:
        print("\n".join(reports.as_annotations(found.verdict)))
