"""Figures for a paper or a slide: report objects in, matplotlib figures out, and files of the same bytes each time.

    figure = forest.draw(board)            # pure: no file, no global state of matplotlib
    write(results, Path("figures"), "pdf") # the only place that touches the disk

matplotlib's own fonts are used, none of the machine.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.records import to_json
from harness.results.collect import Results
from harness.results.leaderboard.board import leaderboard
from harness.results.render.colours import arm_looks
from harness.results.render.writers import to_rows
from harness.results.studies.curve import learning_curve
from harness.results.studies.figure_data import cost_views, training_curves
from harness.results.studies.tuning import tuning_report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("pdf", "svg", "png")


def check(form: str) -> None:
    """Raise UsageError for an unknown format."""
    if form not in FORMATS:
        raise UsageError(f"--format {form!r} is unknown", hint=f"Give one of {', '.join(FORMATS)}")


def drawn(results: Results) -> dict[str, Figure | str]:
    """Every figure by name, or why there is none. Pure."""
    from harness.results.render.figures import cost, curve, forest, metrics, style, training, tuning

    board = leaderboard(results)
    looks = arm_looks(results.experiment, [entry.arm for entry in results.entries])
    with style.context():
        return {
            "forest": forest.draw(board, looks),
            "metrics": metrics.draw(board, looks),
            "cost": cost.draw(board, looks),
            "training": training.draw(training_curves(results), looks),
            "curve": curve.draw(learning_curve(results), looks),
            "tuning": tuning.draw(tuning_report(results), looks),
        }


def write(results: Results, folder: Path, form: str) -> list[str]:
    """Write NAME.FORM for every figure that the results have into `folder`; one line for each.

    Raises UsageError when `folder` is a file, and as `check`.
    """
    check(form)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is no folder", hint="Give another one with --out")
    from harness.results.render.figures import style

    lines = []
    for name, figure in drawn(results).items():
        if isinstance(figure, str):
            lines.append(f"no {name}: {figure}")
            continue
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.{form}"
        style.save(figure, path)
        lines.append(f"wrote {path}")
    return lines


# -------------------------------------------------------------------------------------------------------------- CSV


def figure_tables(results: Results) -> dict[str, str]:
    """The data of every figure that the results have, as CSV by the figure's name; the leaderboard's has the forest's.

    Numbers have all their digits.
    """
    tables = {
        "cost": _cost_rows(results),
        "training": _training_rows(results),
        "curve": _curve_rows(results),
        "tuning": _tuning_rows(results),
    }
    return {name: to_rows(list(rows[0]), rows) for name, rows in tables.items() if rows}


def _cost_rows(results: Results) -> list[dict[str, object]]:
    board = leaderboard(results)
    return [
        {
            **{"measure": view.measure, "unit": view.unit, "arm": point.arm, "metric": board.primary},
            **to_json(point),
            "on_front": str(point.on_front).lower(),
        }
        for view in cost_views(board)
        for point in view.points
    ]


def _training_rows(results: Results) -> list[dict[str, object]]:
    names = ("step", "examples", "loss", "validation_loss", "gradient_norm", "learning_rate")
    return [
        {
            **{"arm": curve.arm, "seed": curve.seed},
            **{name: getattr(row, name) for name in names},
            "events": " ".join(event.kind for event in curve.events if event.step == row.step),
        }
        for curve in training_curves(results)
        for row in curve.rows
    ]


def _curve_rows(results: Results) -> list[dict[str, object]]:
    curve = learning_curve(results)
    return [
        {
            **{"arm": arm.arm, "metric": curve.primary, "fraction": point.fraction, "examples": point.examples},
            **{name: getattr(point.estimate, name, None) for name in ("value", "low", "high")},
            "verdict": arm.verdict,
        }
        for arm in curve.arms
        for point in arm.points
    ]


def _tuning_rows(results: Results) -> list[dict[str, object]]:
    arms = tuning_report(results).arms
    fields = list(dict.fromkeys(name for arm in arms for trial in arm.trials for name in trial.values))
    return [
        {
            **{"arm": arm.arm, "trial": trial.number, "rung": trial.rung, "share": trial.share},
            **{name: trial.values.get(name) for name in fields},
            **{name: getattr(trial, name) for name in ("metric", "value", "loss", "status")},
            **{"recipe": str(trial.stock).lower(), "chosen": str(trial.chosen).lower()},
        }
        for arm in arms
        for trial in arm.trials
    ]
