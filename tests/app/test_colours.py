"""An arm's colour is its place in the experiment file: the same on every page of the app, in the report, on paper."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from made_experiment import made
from matplotlib.colors import to_hex

from harness.app import charts
from harness.results.collect import Results
from harness.results.leaderboard.board import leaderboard
from harness.results.render import figures
from harness.results.render.colours import GREYS, PALETTE, arm_looks
from harness.results.studies.figure_data import cost_views, training_curves

ARMS = [{"method": "lora"}, {"method": "untrained"}, {"method": "full"}, {"name": "qlora $x_1$", "method": "qlora"}]


@pytest.fixture(scope="module")
def results() -> Results:
    """The made-up experiment with lora first in its file, though full leads the board."""
    whole = made()
    return replace(whole, experiment=replace(whole.experiment, spec={**whole.experiment.spec, "arms": ARMS}))


def drawn_by_plotly(figure: Any) -> dict[str, str]:
    """Arm → colour of its line or marker."""
    return {
        trace.name.partition(", seed")[0]: str(trace.line.color or trace.marker.color)
        for trace in figure.data
        if trace.name in ("full", "lora", "untrained") or ", seed" in (trace.name or "")
    }


def drawn_on_paper(figure: Any, looks: Any) -> dict[str, set[str]]:
    """Arm → colours of what has its marker."""
    of_marker = {look.marker: arm for arm, look in looks.items()}
    colours: dict[str, set[str]] = {}
    for axes in figure.axes:
        for line in axes.get_lines():
            arm = of_marker.get(str(line.get_marker()))
            if arm is not None and len(line.get_xdata()) and line.get_markerfacecolor() != "none":
                colours.setdefault(arm, set()).add(to_hex(line.get_color()).upper())
    return colours


def test_the_place_in_the_file_is_the_colour(results: Results) -> None:
    looks = arm_looks(results.experiment)
    assert {arm: look.colour for arm, look in looks.items()} == {
        **{"lora": PALETTE[0], "full": PALETTE[1], "qlora $x_1$": PALETTE[2]},
        "untrained": GREYS[0],
    }
    assert leaderboard(results).rows[0].arm == "full"
    assert arm_looks(results.experiment, ["full", "new", "lora"])["new"].colour == PALETTE[3]


def test_full_and_lora_have_the_same_colour_on_every_page(results: Results) -> None:
    board, looks = leaderboard(results), arm_looks(results.experiment)
    pages = [charts.forest(board), charts.training(training_curves(results), "loss", looks)]
    pages += [charts.tradeoff(view, board) for view in cost_views(board)]
    for figure in pages:
        colours = drawn_by_plotly(figure)
        assert (colours["lora"], colours["full"]) == (PALETTE[0], PALETTE[1])


def test_full_and_lora_have_the_same_colour_in_every_figure(results: Results) -> None:
    looks = arm_looks(results.experiment)
    for name, figure in figures.drawn(results).items():
        colours = drawn_on_paper(figure, looks)
        assert (colours["lora"], colours["full"]) == ({PALETTE[0].upper()}, {PALETTE[1].upper()}), name
