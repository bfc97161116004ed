"""Commands that print or write what a stored experiment found: parse, call, print."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

import harness
from harness.cli.options import (
    HOME,
    Bundle,
    Experiment,
    Home,
    Json,
    chosen,
    print_lines,
    show,
    show_as,
    show_board,
    show_suite,
)


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (leaderboard, compare, predictions, ledger, looks, tuning, curve, suite, report, figures, appendix):
        app.command()(command)
    app.command(name="bundle")(bundle_command)


def leaderboard(
    experiment: Experiment = None,
    home: Home = HOME,
    form: Annotated[str, typer.Option("--format", help="text, markdown, csv or latex.")] = "text",
    as_json: Json = False,
    bundle: Bundle = None,
) -> None:
    """Print the verdict and the leaderboard of a stored experiment, with paired intervals against the reference arm."""
    from harness.results.render.leaderboard import render_markdown, to_csv, to_latex, to_text

    forms = {"text": to_text, "markdown": render_markdown, "csv": to_csv, "latex": to_latex}
    write = chosen(forms, form)
    board = harness.leaderboard(experiment, home=home, bundle=bundle).board
    if as_json or form == "text":
        show_board(board, as_json)
    else:
        sys.stdout.write(write(board))


def compare(
    a: Annotated[str, typer.Argument(help="An arm of the experiment.")],
    b: Annotated[str, typer.Argument(help="The arm it is compared with.")],
    experiment: Annotated[str | None, typer.Option("--experiment", help="File or name; default: the newest.")] = None,
    samples: Annotated[int, typer.Option("--samples", help="How many of the most different answers to show.")] = 3,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Paired difference of two arms (a minus b) per metric, and the examples where they differ most."""
    from harness.results.render.studies import print_comparison

    view = harness.compare(a, b, experiment=experiment, samples=samples, home=home)
    show_as(view.comparison, as_json, lambda _: view.to_dict(), print_comparison)


def predictions(
    run: Annotated[str, typer.Argument(help="EXPERIMENT/ARM, or EXPERIMENT/ARM@SEED.")],
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Print the stored answers of one run to the test split; of a sensitive task without their texts.

    Without --json long answers are cut short, and the first twenty are shown.
    """
    show(harness.predictions(run, home=home), as_json)


def ledger(experiment: Experiment = None, home: Home = HOME, as_json: Json = False, bundle: Bundle = None) -> None:
    """Print what every run was given and what it cost."""
    from harness.results import queries
    from harness.results.render.json import ledger_to_json
    from harness.results.render.ledger import print_ledger

    board = queries.bundled_board(bundle) if bundle else queries.board(home, experiment)
    show_as(board, as_json, ledger_to_json, print_ledger)


def looks(experiment: Experiment = None, home: Home = HOME, as_json: Json = False) -> None:
    """List every look at the sealed test split: when, who, which arm, and why."""
    from harness.results import queries
    from harness.results.render.json import looks_to_json
    from harness.results.render.studies import looks_to_lines

    accesses = queries.looks(home, experiment)
    show_as(accesses, as_json, looks_to_json, lambda accesses: print_lines(looks_to_lines(accesses)))


def tuning(experiment: Experiment = None, home: Home = HOME, as_json: Json = False) -> None:
    """Print every arm's tuning trials, what was chosen on validation, and what lies at the edge of its space."""
    from harness.results import queries
    from harness.results.render.json import tuning_to_json
    from harness.results.render.studies import print_tuning

    show_as(queries.tuning(home, experiment), as_json, tuning_to_json, print_tuning)


def curve(experiment: Experiment = None, home: Home = HOME, as_json: Json = False) -> None:
    """Print the learning curve: each arm by share of the train split, and whether more data would help."""
    from harness.results import queries
    from harness.results.render.json import curve_to_json
    from harness.results.render.studies import print_curve

    show_as(queries.curve(home, experiment), as_json, curve_to_json, print_curve)


def suite(
    file: Annotated[Path, typer.Argument(help="Suite file: an experiment with a list `suite:`.")],
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Print every arm's value and rank, with intervals, on each experiment of a suite that has run."""
    from harness.experiments.loading import suites
    from harness.results import queries

    show_suite(queries.suite(home, suites.suite_names(file)), as_json)


def report(
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

    print_lines(queries.write_report(home, experiment, to, samples, bundle))


def figures(
    experiment: Experiment = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for the files; made if need be.")] = Path("figures"),
    form: Annotated[str, typer.Option("--format", help="pdf, svg or png.")] = "pdf",
    home: Home = HOME,
    bundle: Bundle = None,
) -> None:
    """Draw the figures of a stored experiment: forest, metrics, cost, training, learning curve, tuning.

    The same results give the same bytes.
    """
    from harness.results import queries
    from harness.results.render import figures

    figures.check(form)
    print_lines(figures.write(queries.results(home, experiment, bundle), out, form))


def appendix(
    experiment: Experiment = None,
    form: Annotated[str, typer.Option("--format", help="markdown, latex or csv.")] = "markdown",
    home: Home = HOME,
    bundle: Bundle = None,
) -> None:
    """Print every setting that was in force, arm by arm, and what differs from the libraries' own defaults."""
    from harness.results import queries
    from harness.results.render.studies import APPENDIX_FORMS
    from harness.results.studies.appendix import appendix as appendix_of

    sys.stdout.write(chosen(APPENDIX_FORMS, form)(appendix_of(queries.results(home, experiment, bundle))))


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

        print_lines(bundle.check(check))
    else:
        from harness.results import queries

        print(queries.pack(home, experiment, out))
