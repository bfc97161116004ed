"""Results as a Python user holds them: a table in a notebook, a pandas DataFrame, the JSON of the command line, text.

A view wraps a record of the harness, which stays reachable as its first field. Texts in tables are escaped, and those
of a sensitive task are withheld, as everywhere outside of the store and the app.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.records import Entry, ExperimentRecord, Prediction, to_json as plain
from harness.redaction import SENSITIVE
from harness.results import numbers
from harness.results.render.table import table
from harness.results.render.writers import Part, html, plain as plain_text

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

    from harness.results.human.records import HumanReview
    from harness.results.leaderboard.rows import Leaderboard
    from harness.results.studies.comparison import Comparison

PREDICTIONS = "harness.predictions/1"
SHOWN_ROWS = 20
"""Rows of a long table that a notebook shows."""
SHOWN_CHARACTERS = 200


class View(ABC):
    """What every result of the Python interface can do."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The result under its versioned schema, as `--json` prints it: plain values, absent ones None, no NaN."""

    @abstractmethod
    def to_pandas(self) -> pandas.DataFrame:
        """The result as a table with full precision; absent values are missing values of pandas."""

    @abstractmethod
    def parts(self) -> Sequence[Part]:
        """What a reader is shown: sentences and tables."""

    def __str__(self) -> str:
        return plain_text(self.parts())

    def _repr_html_(self) -> str:
        return html(self.parts())


def frame(rows: Sequence[dict[str, Any]], columns: Sequence[str] = ()) -> pandas.DataFrame:
    """A DataFrame with one row for each of `rows`; `columns` where there may be no row."""
    import pandas

    return pandas.DataFrame(list(rows), columns=None if rows else list(columns))


@dataclass(frozen=True, slots=True, repr=False)
class LeaderboardView(View):
    """All arms of an experiment, the best value of the primary metric first."""

    board: Leaderboard
    home: Path
    experiment_id: str | None
    bundle: Path | None = None
    """Where the results come from, if not from the store."""

    def to_dict(self) -> dict[str, Any]:
        """As `harness leaderboard --json`."""
        from harness.results.render.json import to_json

        return to_json(self.board)

    def to_pandas(self) -> pandas.DataFrame:
        """One row for each arm and metric, as `harness leaderboard --format csv`.

        `value`, `low`, `high` (and `difference…`, arm minus reference, paired) are in the metric's own unit; `level` is
        that of both intervals; `p_holm` is adjusted for the number of arms.
        """
        import pandas

        from harness.results.render.leaderboard import CSV_FIELDS, to_csv

        counted = {"value", "low", "high", "level", "n", "clusters", "seeds", "difference", "difference_low"}
        counted |= {"difference_high", "p", "p_holm", "missing", "primary"}
        texts: dict[Any, Any] = {name: str for name in CSV_FIELDS if name not in counted}
        source = io.StringIO(to_csv(self.board))
        return pandas.read_csv(source, dtype=texts, keep_default_na=False, na_values=[""])

    def parts(self) -> Sequence[Part]:
        """As `harness leaderboard` prints it."""
        from harness.results.render.leaderboard import board_view

        return board_view(self.board)

    def figure(self, name: str = "forest") -> Figure:
        """A figure of these results, drawn by matplotlib.

        Args:
            name: forest, metrics, cost, training, curve or tuning.

        Raises:
            UsageError: no such figure, or results that have none of this kind.
        """
        from harness.results import queries
        from harness.results.render import figures

        figures.check("png")
        drawn = figures.drawn(queries.results(self.home, self.experiment_id, self.bundle))
        if name not in drawn:
            raise UsageError(f"no figure is called {name!r}", hint=f"Give one of {', '.join(drawn)}")
        figure = drawn[name]
        if isinstance(figure, str):
            raise UsageError(f"there is no figure {name}: {figure}")
        return figure


@dataclass(frozen=True, slots=True, repr=False)
class RunView(View):
    """What a run left: its leaderboard, and whether some arm failed."""

    leaderboard: LeaderboardView
    failed: bool
    """Whether some arm ended without a result; the command line then ends with exit code 6."""

    def to_dict(self) -> dict[str, Any]:
        """The leaderboard's."""
        return self.leaderboard.to_dict()

    def to_pandas(self) -> pandas.DataFrame:
        """The leaderboard's."""
        return self.leaderboard.to_pandas()

    def parts(self) -> Sequence[Part]:
        """The leaderboard's."""
        return self.leaderboard.parts()


@dataclass(frozen=True, slots=True, repr=False)
class ComparisonView(View):
    """Two arms of one experiment, every difference as a minus b."""

    comparison: Comparison

    def to_dict(self) -> dict[str, Any]:
        """As `harness compare --json`."""
        from harness.results.render.json import comparison_to_json

        return comparison_to_json(self.comparison)

    def to_pandas(self) -> pandas.DataFrame:
        """One row for each metric: the value of a, of b, and a minus b, with intervals, in the metric's own unit."""
        rows = []
        for metric in self.to_dict()["metrics"]:
            row = {name: metric[name] for name in ("metric", "direction", "primary")}
            for part in ("a", "b", "difference"):
                ends = {part: "value", f"{part}_low": "low", f"{part}_high": "high"}
                row |= {name: (metric[part] or {}).get(end) for name, end in ends.items()}
            rows.append({**row, "p_value": metric["p_value"], "reason": metric["reason"]})
        return frame(rows)

    def parts(self) -> Sequence[Part]:
        """As `harness compare` prints it."""
        from harness.results.render.studies import comparison_view

        return comparison_view(self.comparison)


@dataclass(frozen=True, slots=True, repr=False)
class PredictionsView(View):
    """The answers of one run to the test split."""

    experiment: ExperimentRecord
    entry: Entry
    predictions: tuple[Prediction, ...]
    """As stored; of a sensitive task with its texts, so keep them where the data may be."""

    def to_dict(self) -> dict[str, Any]:
        """As `harness predictions --json`."""
        return {
            "schema": PREDICTIONS,
            "experiment": {"id": self.experiment.experiment_id, "name": self.experiment.name},
            "arm": self.entry.arm,
            "seed": self.entry.seed,
            "eval_id": self.entry.eval_id,
            "sensitive": self._sensitive,
            "predictions": self._rows(),
        }

    def to_pandas(self) -> pandas.DataFrame:
        """One row for each example: answer, finish reason, tokens in and out, seconds."""
        return frame(self._rows(), ("example", "text", "finish", "tokens_in", "tokens_out", "seconds", "truncated"))

    def parts(self) -> Sequence[Part]:
        """The first rows, long answers cut short."""
        rows = self._rows()
        shown = []
        for row in rows[:SHOWN_ROWS]:
            text = f"({SENSITIVE})" if row["text"] is None else row["text"]
            text = text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
            shown.append([row["example"], text, row["finish"], str(row["tokens_out"]), numbers.seconds(row["seconds"])])
        more = [f"and {len(rows) - SHOWN_ROWS:,} more"] if len(rows) > SHOWN_ROWS else []
        return [table(["example", "answer", "finish", "tokens out", "seconds"], shown, more)]

    @property
    def _sensitive(self) -> bool:
        return bool(self.experiment.task.get("sensitive"))

    def _rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for number, prediction in enumerate(self.predictions, 1):
            row = {name: value for name, value in plain(prediction).items() if name not in ("eval_id", "prompt_hash")}
            # An id may name a person, and so may a prompt's hash: one can guess who it is and compare.
            rows.append({**row, "example": f"no. {number}", "text": None} if self._sensitive else row)
        return rows


@dataclass(frozen=True, slots=True, repr=False)
class ReviewView(View):
    """What people said in one unblinded round of blind review."""

    review: HumanReview

    def to_dict(self) -> dict[str, Any]:
        """As `harness review results --json`."""
        from harness.results.render.json import human_to_json

        return human_to_json(self.review)

    def to_pandas(self) -> pandas.DataFrame:
        """One row for each arm: win rate and its interval (shares; ties are half wins), votes, first and last rank."""
        rows = []
        for arm in self.review.everyone.arms:
            estimate, (best, worst) = arm.win_rate.rate.estimate, arm.ranks or (None, None)
            row = {"arm": arm.arm, "win_rate": getattr(estimate, "value", None)}
            row |= {end: getattr(estimate, end, None) for end in ("low", "high")}
            row |= {"votes": getattr(estimate, "n", 0), "reason": arm.win_rate.rate.why}
            rows.append({**row, "best_rank": best, "worst_rank": worst})
        return frame(rows)

    def parts(self) -> Sequence[Part]:
        """As `harness review results` prints it."""
        from harness.results.render.human import human_view

        return human_view(self.review)
