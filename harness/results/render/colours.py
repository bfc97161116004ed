"""An arm's colour and marker: its place in the experiment file, the same in the app, in the report and on paper.

Okabe and Ito (2008), told apart with every common kind of colour blindness and in grey; arms differ in their markers as
well. Arms without training are grey.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.records import ExperimentRecord

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
INKS = ("#0072B2", "#B84F00", "#007A59", "#A8508A", "#946600", "#2A7FB8")
"""The palette dark enough for small text on white, colour for colour."""
GREYS = ("#6B6B6B", "#8F8F8F", "#ABABAB")
GREY_INKS = ("#4D4D4D", "#6A6A6A", "#6A6A6A")
MARKERS = ("o", "s", "D", "^", "v", "<", ">", "p", "h", "*")
"""In matplotlib's letters."""
WITHOUT_TRAINING = ("untrained", "few_shot", "imported", "endpoint")
"""Methods whose arms nothing is trained for here."""


@dataclass(frozen=True, slots=True)
class Look:
    """How one arm is drawn everywhere."""

    colour: str
    marker: str
    ink: str
    """The colour for text."""


Looks = Mapping[str, Look]


def arm_looks(experiment: ExperimentRecord | None, arms: Iterable[str] = ()) -> dict[str, Look]:
    """Arm → its look, in the order of the experiment file; those of `arms` that it does not list come last.

    Without an experiment (votes from elsewhere) in the order of `arms`.
    """
    spec = experiment.spec if experiment is not None else {}
    written = [arm for arm in spec.get("arms", []) if isinstance(arm, Mapping)]
    methods = {str(arm.get("name") or arm["method"]): str(arm["method"]) for arm in written}
    methods |= {arm: arm for arm in arms if arm not in methods}
    grey = [arm for arm, method in methods.items() if method in WITHOUT_TRAINING]
    trained = [arm for arm in methods if arm not in grey]
    looks = {}
    for index, arm in enumerate([*trained, *grey]):
        colours, inks, at = (GREYS, GREY_INKS, grey.index(arm)) if arm in grey else (PALETTE, INKS, index)
        looks[arm] = Look(colours[at % len(colours)], MARKERS[index % len(MARKERS)], inks[at % len(inks)])
    return {arm: looks[arm] for arm in methods}
