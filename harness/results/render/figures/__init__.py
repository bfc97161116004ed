"""Figures for a paper or a slide: report objects in, matplotlib figures out, and files of the same bytes each time.

    figure = forest.draw(board)            # pure: no file, no global state of matplotlib
    write(results, Path("figures"), "pdf") # the only place that touches the disk

matplotlib comes with `pip install 'finetune-harness[figures]'`. Its own fonts are used, none of the machine.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from harness import results as report
from harness.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("pdf", "svg", "png")


def check(form: str) -> None:
    """Raise UsageError for an unknown format, or where matplotlib is missing."""
    if form not in FORMATS:
        raise UsageError(f"--format {form!r} is unknown", hint=f"Give one of {', '.join(FORMATS)}")
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError(
            "figures need matplotlib, which is not installed",
            hint="pip install 'finetune-harness[figures]', or matplotlib alone",
        )


def drawn(results: report.Results) -> dict[str, Figure | str]:
    """Every figure by name, or why there is none. Pure."""
    from harness.results.render.figures import cost, curve, forest, metrics, style, training, tuning

    board = report.leaderboard(results)
    colours = style.colours_of(results)
    with style.context():
        return {
            "forest": forest.draw(board, colours),
            "metrics": metrics.draw(board, colours),
            "cost": cost.draw(board, colours),
            "training": training.draw(report.training_curves(results), colours),
            "curve": curve.draw(report.learning_curve(results), colours),
            "tuning": tuning.draw(report.tuning_report(results), colours),
        }


def write(results: report.Results, folder: Path, form: str) -> list[str]:
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
