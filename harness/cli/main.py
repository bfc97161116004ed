"""The command line: parse, call, print. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import atexit
import errno
import gc
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli import gate, paper, review, shipping
from harness.cli.options import HOME, Bundle, Experiment, Home, Json, print_json
from harness.cli.paper import show_suite
from harness.cli.serving import serving
from harness.errors import DiskFull, HarnessError, Interrupted, UsageError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Tells which fine-tuning method to ship for a task, with evidence.",
)
store_app = typer.Typer(no_args_is_help=True, help="Look after the database file.")
app.add_typer(store_app, name="store")
app.add_typer(review.app, name="review")
gate.register(app)
shipping.register(app)
app.command()(serving)


def main() -> None:
    """Run the command line and turn every error into one line and an exit code.

    Leaves without taking the interpreter apart: with torch and DuckDB in one process that prints pages about leaked
    objects, and takes seconds. Everything is written and closed by then.
    """
    gc.set_threshold(50_000, 20, 20)  # most of what a command makes lives until it ends: imports, records
    code = call(sys.argv[1:])
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def call(words: Sequence[str]) -> int:
    """The exit code of `harness WORDS…`, with every error turned into one line on standard error."""
    return _guarded(lambda: app(list(words), standalone_mode=False))


def _guarded(call: Callable[[], Any]) -> int:
    try:
        result = call()
        return result if isinstance(result, int) else 0
    except HarnessError as error:
        return _fail(error)
    except typer.Exit as done:
        return done.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return _fail(Interrupted("stopped", hint="what was finished is kept; the same command goes on"))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _fail(DiskFull("no space left on the device", hint="free some space; the same command goes on"))
        return _crash(error)
    except typer.TyperException as error:
        text = error.format_message() if isinstance(error, typer.BadParameter) else str(error)
        return _fail(UsageError(text.rstrip("."), hint="`harness COMMAND --help` shows the options"))
    except Exception as error:
        return _crash(error)


def _fail(error: HarnessError) -> int:
    print(f"harness: {error}", file=sys.stderr)
    return error.exit_code


def _crash(error: Exception) -> int:
    import traceback

    from harness import redaction

    if redaction.marked(error):  # what it says may be somebody's data
        traceback.print_tb(error.__traceback__)
        print(redaction.reason_of(error), file=sys.stderr)
    else:
        traceback.print_exception(error)
    print("harness: this is a bug in the harness; what was stored is kept", file=sys.stderr)
    return 70


@app.command()
def run(
    experiment: Annotated[str, typer.Argument(help="Experiment file, for example baselines/visit_notes.yaml.")],
    home: Home = HOME,
    retry: Annotated[bool, typer.Option("--retry", help="Try diverged arms again, too.")] = False,
    rescore: Annotated[
        bool, typer.Option("--rescore", help="Score again here what was scored in another environment.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Train every arm under one budget, score all on the sealed test split, print the leaderboard.

    What is finished is never repeated: the same command goes on after a kill. Exit code 6: some arm failed.
    """
    from harness import results as report
    from harness.experiments import pipeline
    from harness.experiments.loading import suites
    from harness.progress import Reporter

    if suites.is_suite(Path(experiment)):
        with Reporter() as reporter:
            results = pipeline.run_suite(Path(experiment), home, reporter, retry=retry, rescore=rescore)
        show_suite(report.suite_table([one.board for one in results]), as_json)
        return 6 if any(one.failed for one in results) else 0
    with Reporter() as reporter:
        result = pipeline.run(Path(experiment), home, reporter, retry=retry, rescore=rescore)
    _show_board(result.board, as_json, report)
    return 6 if result.failed else 0


def _show_board(board: Any, as_json: bool, report: Any) -> None:
    if as_json:
        print_json(report.to_json(board))
    else:
        report.print_board(board)


@app.command()
def check(
    path: Annotated[Path | None, typer.Argument(help="A task, arm, experiment or gates file, or a folder.")] = None,
) -> None:
    """Validate files that people write, and the data they name, without loading a model."""
    from harness import metrics
    from harness.experiments.loading import load

    if path is not None and path.is_file() and load.is_gates(path):
        from harness.release.gate import run as gates

        gates.load(path)  # its rules' and waivers' names, too
    for line in load.check(path or Path(), known_metrics=metrics.METRICS):
        print(line)


@app.command()
def preview(
    task: Annotated[Path, typer.Argument(help="Task folder or file.")],
    model: Annotated[str, typer.Option("--model", help="Model folder or hub id, for its tokenizer.")],
    context: Annotated[int | None, typer.Option("--context", help="Longest sequence, in tokens.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Which three examples.")] = 0,
) -> None:
    """Print three rendered prompts with their label masks, length percentiles and truncation counts."""
    from harness.experiments.loading import preview as previews

    for line in previews.lines(task, model, context, seed):
        print(line)


@app.command()
def leaderboard(
    experiment: Experiment = None,
    home: Home = HOME,
    form: Annotated[str, typer.Option("--format", help="text, markdown, csv or latex.")] = "text",
    as_json: Json = False,
    bundle: Bundle = None,
) -> None:
    """Print the verdict and the leaderboard of a stored experiment, with paired intervals against the reference arm."""
    from harness import results as report
    from harness.results import queries

    forms = {"text": report.to_text, "markdown": report.render_markdown, "csv": report.to_csv, "latex": report.to_latex}
    if form not in forms:
        raise UsageError(f"--format {form!r} is unknown", hint=f"Give one of {', '.join(forms)}")
    board = queries.bundled_board(bundle) if bundle else queries.board(home, experiment)
    if as_json or form == "text":
        _show_board(board, as_json, report)
    else:
        sys.stdout.write(forms[form](board))


@app.command()
def plan(
    experiment: Annotated[str, typer.Argument(help="Experiment or suite file.")],
    home: Home = HOME,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Run a few steps of every arm that has no stored history.")
    ] = False,
    margin: Annotated[
        float | None, typer.Option("--margin", min=0, help="Also say what it takes to show a difference of this size.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what an experiment will take (runs, time, memory, disk, money) and what it will be able to show."""
    from harness.experiments import forecast
    from harness.experiments.loading import suites

    def say(line: str) -> None:
        print(line, file=sys.stderr)

    path = Path(experiment)
    if suites.is_suite(path):
        plans = forecast.forecast_suite(path, home, calibration=calibrate, margin=margin, say=say)
        told, as_lines = forecast.suite_to_json(plans), forecast.suite_lines(plans)
    else:
        plan = forecast.forecast(path, home, calibration=calibrate, margin=margin, say=say)
        told, as_lines = forecast.to_json(plan), forecast.lines(plan)
    if as_json:
        print_json(told)
    else:
        print("\n".join(as_lines))


@app.command()
def compare(
    a: Annotated[str, typer.Argument(help="An arm of the experiment.")],
    b: Annotated[str, typer.Argument(help="The arm it is compared with.")],
    experiment: Annotated[str | None, typer.Option("--experiment", help="File or name; default: the newest.")] = None,
    samples: Annotated[int, typer.Option("--samples", help="How many of the most different answers to show.")] = 3,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Paired difference of two arms (a minus b) per metric, and the examples where they differ most."""
    from harness import results as report
    from harness.results import queries

    comparison = queries.compare(home, experiment, (a, b), samples)
    if as_json:
        print_json(report.comparison_to_json(comparison))
    else:
        report.print_comparison(comparison)


@app.command()
def ledger(experiment: Experiment = None, home: Home = HOME, as_json: Json = False, bundle: Bundle = None) -> None:
    """Print what every run was given and what it cost."""
    from harness import results as report
    from harness.results import queries

    board = queries.bundled_board(bundle) if bundle else queries.board(home, experiment)
    if as_json:
        print_json(report.ledger_to_json(board))
    else:
        report.print_ledger(board)


@app.command()
def tuning(experiment: Experiment = None, home: Home = HOME, as_json: Json = False) -> None:
    """Print every arm's tuning trials, what was chosen on validation, and what lies at the edge of its space."""
    from harness import results as report
    from harness.results import queries

    found = queries.tuning(home, experiment)
    if as_json:
        print_json(report.tuning_to_json(found))
    else:
        report.print_tuning(found)


@app.command()
def curve(experiment: Experiment = None, home: Home = HOME, as_json: Json = False) -> None:
    """Print the learning curve: each arm by share of the train split, and whether more data would help."""
    from harness import results as report
    from harness.results import queries

    found = queries.curve(home, experiment)
    if as_json:
        print_json(report.curve_to_json(found))
    else:
        report.print_curve(found)


@app.command()
def looks(experiment: Experiment = None, home: Home = HOME, as_json: Json = False) -> None:
    """List every look at the sealed test split: when, who, which arm, and why."""
    from harness import results as report
    from harness.results import queries

    found = queries.looks(home, experiment)
    if as_json:
        print_json(report.looks_to_json(found))
    else:
        for line in report.looks_to_lines(found):
            print(line)


@app.command()
def score(
    metric: Annotated[list[str], typer.Option("--metric", help="Metric to add; may be given several times.")],
    experiment: Experiment = None,
    home: Home = HOME,
) -> None:
    """Add a metric to a stored experiment from its stored predictions and likelihoods; loads no model."""
    from harness.results import queries

    for line in queries.score(home, experiment, metric):
        print(line)


@app.command()
def sentinel(
    experiment: Annotated[str, typer.Argument(help="Experiment file.")],
    arm: Annotated[str | None, typer.Option("--arm", help="Frozen run; default: the reference arm's.")] = None,
    home: Home = HOME,
    as_json: Json = False,
) -> int:
    """Score a frozen run again in this environment; results of both are ranked together if it moved too little to see.

    Exit code 1: it moved by more than its interval. A counted look at the test split.
    """
    from harness import results as report
    from harness.experiments import drift
    from harness.progress import Reporter

    with Reporter() as reporter:
        checks = drift.check(Path(experiment), home, reporter, arm)
    if as_json:
        print_json(report.sentinel_to_json(checks))
    else:
        for line in report.sentinel_lines(checks):
            print(line)
    return 0 if all(made.accepted for made in checks) else 1


@app.command()
def doctor(home: Home = HOME, as_json: Json = False) -> int:
    """Show hardware and versions, what is missing and how to get it."""
    from harness.cli import doctor as checks

    report = checks.examine(home)
    if as_json:
        print_json(checks.to_json(report))
    else:
        for line in checks.lines(report):
            print(line)
    return 0 if report.ready else 1


@app.command(name="app")
def app_command(
    home: Home = HOME,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port to listen on.")] = 8501,
    public_url: Annotated[
        str | None, typer.Option("--public-url", help="Where others reach it, behind a proxy with TLS.")
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page here.")] = True,
) -> int:
    """Open leaderboard and review in a browser, and print the owner's link."""
    from harness.app import launch

    return launch.serve(home, host, port, public_url, browser=browser)


@store_app.command(name="info")
def store_info(home: Home = HOME, as_json: Json = False) -> None:
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


@store_app.command(name="rebuild")
def store_rebuild(home: Home = HOME) -> None:
    """Make the database again from the run folders and the journal of votes; adds what is missing, removes nothing."""
    from harness.results import queries

    print(queries.rebuild(home))


@store_app.command(name="export")
def store_export(
    folder: Annotated[Path, typer.Argument(help="New folder for parquet files and the schema.")], home: Home = HOME
) -> None:
    """Write every table as a parquet file, readable by any later DuckDB."""
    from harness.results import queries

    print(queries.export(home, folder))


paper.register(app)

if __name__ == "__main__":
    main()
