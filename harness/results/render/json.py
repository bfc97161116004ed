"""Every view as plain JSON values under a versioned schema. Absent is null; no NaN; no text of a sensitive task."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from harness.records import SealedAccess, SentinelCheck, to_json as plain
from harness.results.human.records import METRIC, HumanReview
from harness.results.leaderboard.costs import OUTSIDE, known_ledger
from harness.results.leaderboard.raced import race_json
from harness.results.leaderboard.rows import Cell, Leaderboard, Row
from harness.results.render.human import arm_votes
from harness.results.studies.comparison import Comparison
from harness.results.studies.curve import LearningCurve
from harness.results.studies.suite import SuiteTable
from harness.results.studies.tuning import TuningReport

LEADERBOARD = "harness.leaderboard/2"
LEDGER = "harness.ledger/1"
COMPARE = "harness.compare/1"
SENTINEL = "harness.sentinel/1"
HUMAN = "harness.review-results/2"
SERVING = "harness.serving/1"
LOOKS = "harness.looks/1"
SUITE = "harness.suite/1"
TUNING = "harness.tuning/1"
CURVE = "harness.curve/1"


def _finite(value: Any) -> Any:
    """Plain values with null in place of infinities and what is no number."""
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def to_json(board: Leaderboard) -> dict[str, Any]:
    """The leaderboard: experiment, metrics with directions, and a row for each arm, ranked."""
    return _whole(
        LEADERBOARD,
        {
            **_experiment(board),
            "primary": board.primary,
            "reference": board.reference,
            "estimand": board.estimand,
            "question": board.question,
            "verdict": plain(board.verdict),
            "winner_rules": list(board.experiment.spec.get("winner_rules") or ()),
            "clusters": board.clusters,
            "looks": {"experiment": board.looks, "in_all": board.looks_in_all},
            "leaks": board.leaks,
            "environments": _environments(board),
            "notes": list(board.notes),
            "metrics": plain(list(board.columns)),
            "forgetting": plain(list(board.forgetting)),
            "rows": [_row(row) for row in board.rows],
            "serving": _serving(board),
            "human": _human(board),
            "race": race_json(board.experiment),
        },
    )


def _whole(schema: str, values: Mapping[str, Any]) -> dict[str, Any]:
    finite: dict[str, Any] = _finite({"schema": schema, **values})
    return finite


def _name(board: Leaderboard | Comparison | TuningReport | LearningCurve) -> dict[str, Any]:
    return {"experiment": {"id": board.experiment.experiment_id, "name": board.experiment.name}}


def _experiment(board: Leaderboard) -> dict[str, Any]:
    record = board.experiment
    return {
        "experiment": {
            "id": record.experiment_id,
            "name": record.name,
            "file": record.file,
            "created": record.created,
            "budget": plain(record.spec.get("budget")),
        },
        "task": {
            "name": board.task,
            "version": record.task.get("version"),
            "description": record.task.get("description", ""),
            "fingerprint": record.task_fingerprint,
            "split_sizes": dict(record.split_sizes),
            "sensitive": bool(record.task.get("sensitive")),
        },
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "arm": row.arm,
        "method": row.method,
        "status": row.status,
        "seeds": list(row.seeds),
        "evaluations": list(row.evaluations),
        "metrics": {name: _cell(cell) for name, cell in row.cells.items()},
        "difference_to_best": plain(row.to_best),
        "ranks": plain(row.ranks),
        "best_probability": row.best_probability,
        "cost": plain(row.cost),
        "answers": plain(row.answers),
        "looks": row.looks,
        "budget": row.budget,
        "events": plain(list(row.events)),
        "apart": row.unranked_reason or None,
        "budget_known": row.budget_known,
        "notes": list(row.notes),
        "errors": list(row.errors),
    }


def _cell(cell: Cell) -> dict[str, Any]:
    reasons = {"reason": cell.reason or None, "difference_reason": cell.difference_reason or None}
    return {**plain(cell), **reasons}


def _environments(board: Leaderboard) -> list[dict[str, Any]]:
    """Every environment that results were made in, the ranking's own first."""
    environments = board.environments
    return [
        {
            "fingerprint": name,
            "environment": plain(environment),
            "arms": [arm for arm, prints in environments.of_arm.items() if name in prints],
            "accepted": not any(name in environments.of_arm[arm] for arm in environments.unranked),
        }
        for name, environment in environments.known.items()
    ]


def _serving(board: Leaderboard) -> dict[str, Any] | None:
    """Figures of every arm; `harness serving --json` has the rounds."""
    serving = board.serving
    if serving is None:
        return None
    settings = {name: plain(getattr(serving.made, name)) for name in ("pass_id", "created", "settings", "hardware")}
    return {**settings, "reference": serving.reference, "rows": plain(list(serving.rows))}


def _human(board: Leaderboard) -> dict[str, Any] | None:
    """The human metric of every arm under the name `human_win_rate`; no name of a rater."""
    review = board.human
    if review is None:
        return None
    votes = review.everyone
    rows = []
    for arm in votes.arms:
        same = review.without.of(arm.arm) if review.without is not None else None
        rows.append(
            {
                "arm": arm.arm,
                METRIC: plain(arm.win_rate.rate.estimate),
                "reason": arm.win_rate.rate.why or None,
                "without_excluded": plain(same.win_rate.rate.estimate) if same is not None else None,
                "score": plain(arm.score.estimate),
                "score_at_equal_length": plain(arm.at_equal_length.estimate),
                "ranks": plain(arm.ranks),
                "best_probability": arm.best_probability,
                "votes": arm_votes(arm),
                "flags": plain(arm.flags),
            }
        )
    return {
        "round": review.round,
        "split": review.split,
        "unblinded": review.unblinded.when,
        "votes": votes.votes,
        "automatic_ties": votes.automatic,
        "examples": votes.examples,
        "raters": votes.raters,
        "excluded_raters": len(review.excluded),
        "alpha": plain(votes.alpha_nominal.estimate),
        "blinding_index": plain(review.blinding.estimate),
        "notes": list(review.notes),
        "rows": rows,
    }


def ledger_to_json(board: Leaderboard) -> dict[str, Any]:
    """What every arm was given and what it cost, the mean over its seeds (`rows`), and every single run (`runs`)."""
    names = ("arm", "method", "status", "seeds", "budget", "budget_known", "cost", "notes", "errors")
    identity = ("arm", "method", "seed", "attempt", "role", "status", "error", "train_id")
    runs = [
        {
            **{name: getattr(run, name) for name in identity},
            "ledger": known_ledger(run),
            "budget_known": run.method not in OUTSIDE,
        }
        for run in board.runs
    ]
    return _whole(
        LEDGER,
        {
            **_experiment(board),
            "price_per_device_hour": (board.experiment.spec.get("resources") or {}).get("price_per_device_hour"),
            "rows": [{name: plain(getattr(row, name)) for name in names} for row in board.rows],
            "runs": runs,
            "race": race_json(board.experiment),
        },
    )


def sentinel_to_json(checks: Sequence[SentinelCheck]) -> dict[str, Any]:
    """Checks of the present environment against others."""
    return {"schema": SENTINEL, "checks": plain(list(checks))}


def comparison_to_json(comparison: Comparison) -> dict[str, Any]:
    """Two arms: every difference is a minus b."""
    metrics = [
        {
            "metric": one.column.name,
            "direction": one.column.direction,
            "primary": one.column.primary,
            "a": plain(one.a),
            "b": plain(one.b),
            "difference": plain(one.difference),
            "p_value": one.p_value,
            "reason": one.reason or None,
        }
        for one in comparison.metrics
    ]
    return _whole(
        COMPARE,
        {
            **_name(comparison),
            "a": comparison.a,
            "b": comparison.b,
            "estimand": comparison.estimand,
            "metrics": metrics,
            "wins": {"a": comparison.wins_a, "b": comparison.wins_b, "ties": comparison.ties},
            "sensitive": comparison.sensitive,
            "samples": [{**plain(sample), "difference": sample.difference} for sample in comparison.samples],
            "notes": list(comparison.notes),
        },
    )


def human_to_json(review: HumanReview) -> dict[str, Any]:
    """The results of a round, every statistic with how it was made or why it is not there."""
    return {"schema": HUMAN, **plain(review)}


def serving_to_json(board: Leaderboard) -> dict[str, Any]:
    """The serving figures of every arm, and every round that they come from; null where nothing was measured."""
    serving = board.serving
    return {
        "schema": SERVING,
        **_name(board),
        "reference": board.reference,
        "pass": plain(serving.made) if serving is not None else None,
        "rows": plain(list(serving.rows)) if serving is not None else [],
    }


def looks_to_json(looks: Sequence[SealedAccess]) -> dict[str, Any]:
    """Every look at the test split: who, when, which evaluation of which arm and experiment, and why."""
    return {"schema": LOOKS, "looks": plain(list(looks))}


def suite_to_json(suite: SuiteTable) -> dict[str, Any]:
    """Arms, their ranks in every experiment, and the ids of the experiments."""
    return {
        "schema": SUITE,
        "experiments": [
            {
                "id": board.experiment.experiment_id,
                "name": board.experiment.name,
                "task": board.task,
                "primary": board.primary,
                "verdict": board.verdict.words,
            }
            for board in suite.boards
        ],
        "arms": [
            {"arm": arm, "mean_rank": suite.mean_rank(arm), "places": plain(list(standings))}
            for arm, standings in suite.standings.items()
        ],
    }


def curve_to_json(curve: LearningCurve) -> dict[str, Any]:
    """Points and slopes of every arm."""
    return {
        "schema": CURVE,
        **_name(curve),
        "primary": curve.primary,
        "direction": curve.direction,
        "arms": plain(list(curve.arms)),
    }


def tuning_to_json(report: TuningReport) -> dict[str, Any]:
    """Every trial, what was chosen, and what it cost."""
    return {
        "schema": TUNING,
        **_name(report),
        "tuning": plain(report.experiment.spec.get("tuning")),
        "seeds": plain(report.experiment.seeds),
        "primary": report.primary,
        "direction": report.direction,
        "looks_at_test_by_trials": report.looks,
        "arms": [
            {
                "arm": arm.arm,
                "settings": arm.settings,
                "chosen": plain(arm.chosen.values) if arm.chosen else None,
                "edge": list(arm.chosen.edge) if arm.chosen else [],
                "seconds": arm.seconds,
                "full_trials": arm.full_trials,
                "trials": plain(list(arm.trials)),
            }
            for arm in report.arms
        ],
    }
