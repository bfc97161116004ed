"""Commands that make what is handed on: suites, bundles, figures, appendices; `register` adds them to an app."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli.options import HOME, Bundle, Experiment, Home, Json, print_json
from harness.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(suite)
    app.command()(figures)
    app.command()(appendix)
    app.command(name="report")(report_command)
    app.command(name="bundle")(bundle_command)


def show_suite(table: Any, as_json: bool) -> None:
    """Print the table of a suite, or its JSON."""
    from harness import results

    if as_json:
        print_json(results.suite_to_json(table))
    else:
        print(results.suite_to_markdown(table), end="")


def suite(
    file: Annotated[Path, typer.Argument(help="Suite file: an experiment with a list `suite:`.")],
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Print every arm's value and rank, with intervals, on each experiment of a suite that has run."""
    from harness.experiments.loading import suites
    from harness.results import queries

    show_suite(queries.suite(home, suites.suite_names(file)), as_json)


def figures(
    experiment: Experiment = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for the files; made if need be.")] = Path("figures"),
    form: Annotated[str, typer.Option("--format", help="pdf, svg or png.")] = "pdf",
    home: Home = HOME,
    bundle: Bundle = None,
) -> None:
    """Draw the figures of a stored experiment: forest, metrics, cost, training, learning curve, tuning.

    The same results give the same bytes. Needs matplotlib: pip install 'finetune-harness[figures]'.
    """
    from harness.results import queries
    from harness.results.render import figures

    figures.check(form)
    for line in figures.write(queries.results(home, experiment, bundle), out, form):
        print(line)


def appendix(
    experiment: Experiment = None,
    form: Annotated[str, typer.Option("--format", help="markdown, latex or csv.")] = "markdown",
    home: Home = HOME,
    bundle: Bundle = None,
) -> None:
    """Print every setting that was in force, arm by arm, and what differs from the libraries' own defaults."""
    from harness import results
    from harness.results import queries

    if form not in results.APPENDIX_FORMS:
        raise UsageError(f"--format {form!r} is unknown", hint=f"Give one of {', '.join(results.APPENDIX_FORMS)}")
    sys.stdout.write(results.APPENDIX_FORMS[form](results.appendix(queries.results(home, experiment, bundle))))


def report_command(
    experiment: Experiment = None,
    to: Annotated[Path, typer.Option("--to", help="Folder for the two files; made if need be.")] = Path("reports"),
    samples: Annotated[
        int,
        typer.Option(
            "--samples", min=0, help="Test examples drawn at random besides best, median and worst; 0: no text."
        ),
    ] = 3,
    home: Home = HOME,
    bundle: Bundle = None,
) -> None:
    """Write an experiment's report: one HTML file that asks for nothing, and the same as Markdown.

    Verdict, leaderboard, cost, ledger, curves, people's votes, sample answers, looks, how to reproduce. Of a sensitive
    task no text of an example. The same results give the same bytes.
    """
    from harness.results import queries

    for line in queries.write_report(home, experiment, to, samples, bundle):
        print(line)


def bundle_command(
    experiment: Experiment = None,
    home: Home = HOME,
    out: Annotated[Path | None, typer.Option("--out", help="File to write; default: NAME.bundle.zip.")] = None,
    check: Annotated[Path | None, typer.Option("--check", help="Check this bundle instead of making one.")] = None,
) -> None:
    """Pack specs, versions, scores by example, ledger, looks and rule into one archive; or check one.

    `--check FILE` makes every table again from the archive, without a store or a model, and compares it byte for byte.
    """
    if check is not None:
        from harness.results.render import bundle

        for line in bundle.check(check):
            print(line)
    else:
        from harness.results import queries

        print(queries.pack(home, experiment, out))
