"""Commands that check, plan, run and score experiments: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import harness
from harness.cli.options import (
    HOME,
    Experiment,
    Home,
    Json,
    print_json,
    print_lines,
    show,
    show_as,
    show_board,
    show_suite,
)


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (run, check, preview, plan, serving, sentinel, score, metrics, arms):
        app.command()(command)


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
    from harness.experiments.loading import suites

    if suites.is_suite(Path(experiment)):
        from harness.experiments import pipeline
        from harness.progress import Reporter
        from harness.results.studies.suite import suite_table

        with Reporter() as reporter:
            outcomes = pipeline.run_suite(Path(experiment), home, reporter, retry=retry, rescore=rescore)
        show_suite(suite_table([outcome.board for outcome in outcomes]), as_json)
        return 6 if any(outcome.failed for outcome in outcomes) else 0
    result = harness.run(experiment, home=home, retry=retry, rescore=rescore)
    show_board(result.leaderboard.board, as_json)
    return 6 if result.failed else 0


def check(
    path: Annotated[Path | None, typer.Argument(help="A task, arm, experiment or gates file, or a folder.")] = None,
) -> None:
    """Validate files that people write, and the data they name, without loading a model."""
    from harness.experiments.loading import check as checking
    from harness.metrics import METRICS

    if path is not None and path.is_file() and checking.is_gates(path):
        from harness.release.gate import run as gates

        gates.load(path)  # its rules' and waivers' names, too
    print_lines(checking.check(path or Path(), known_metrics=METRICS))


def preview(
    task: Annotated[Path, typer.Argument(help="Task folder or file, or an experiment file.")],
    model: Annotated[str | None, typer.Option("--model", help="Model folder or hub id, for its tokenizer.")] = None,
    arm: Annotated[str | None, typer.Option("--arm", help="With the prompt of this arm of the experiment.")] = None,
    context: Annotated[int | None, typer.Option("--context", help="Longest sequence, in tokens.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Which three examples.")] = 0,
) -> None:
    """Print three rendered prompts with their label masks, length percentiles and truncation counts."""
    from harness.experiments.loading import preview as previews

    print_lines(previews.lines(task, model, arm, context, seed))


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
    from harness.experiments.loading import suites

    path = Path(experiment)
    if suites.is_suite(path):
        from harness.experiments.forecast import forecast, text
        from harness.results.render import writers

        plans = forecast.forecast_suite(path, home, calibration=calibrate, margin=margin)
        show_as(plans, as_json, text.suite_to_json, lambda plans: print(writers.plain(text.suite_view(plans)), end=""))
        return
    show(harness.plan(path, home=home, calibrate=calibrate, margin=margin), as_json)


def serving(
    experiment: Annotated[str, typer.Argument(help="Experiment file, for example baselines/visit_notes.yaml.")],
    home: Home = HOME,
    again: Annotated[bool, typer.Option("--again", help="Measure again what is stored for this machine.")] = False,
    as_json: Json = False,
) -> None:
    """Measure how fast each finished arm answers, and in how much memory, in one interleaved pass on this machine.

    With the settings of the experiment's `serving:`, or the defaults. Prompts are validation examples: no look is
    taken.
    """
    from harness.experiments.speed import on_demand
    from harness.progress import Reporter
    from harness.results.render.json import serving_to_json
    from harness.results.render.speed import print_serving

    with Reporter() as reporter:
        board = on_demand.serve(Path(experiment), home, reporter, again=again)
    show_as(board, as_json, serving_to_json, print_serving)


def sentinel(
    experiment: Annotated[str, typer.Argument(help="Experiment file.")],
    arm: Annotated[str | None, typer.Option("--arm", help="Frozen run; default: the reference arm's.")] = None,
    home: Home = HOME,
    as_json: Json = False,
) -> int:
    """Score a frozen run again in this environment; results of both are ranked together if it moved too little to see.

    Exit code 1: it moved by more than its interval. A counted look at the test split.
    """
    from harness.experiments import drift
    from harness.progress import Reporter
    from harness.results.leaderboard.environments import sentinel_lines
    from harness.results.render.json import sentinel_to_json

    with Reporter() as reporter:
        checks = drift.check(Path(experiment), home, reporter, arm)
    show_as(checks, as_json, sentinel_to_json, lambda checks: print_lines(sentinel_lines(checks)))
    return 0 if all(check.accepted for check in checks) else 1


def score(
    metric: Annotated[list[str], typer.Option("--metric", help="Metric to add; may be given several times.")],
    experiment: Experiment = None,
    home: Home = HOME,
) -> None:
    """Add a metric to a stored experiment from its stored predictions and likelihoods; loads no model."""
    from harness.experiments import rescore

    print_lines(rescore.score(home, experiment, metric))


def metrics(as_json: Json = False) -> None:
    """List every metric: direction, unit, formula, and what of a task it needs."""
    from harness.experiments.loading import catalogue
    from harness.results.render import writers

    if as_json:
        print_json(catalogue.metrics_to_json())
    else:
        print(writers.plain(catalogue.metric_view()), end="")


def arms(as_json: Json = False) -> None:
    """List every method with its fields, their types and defaults, and the stock recipes."""
    from harness.experiments.loading import catalogue
    from harness.results.render import writers

    if as_json:
        print_json(catalogue.arms_to_json())
    else:
        print(writers.plain(catalogue.arm_view()), end="")
