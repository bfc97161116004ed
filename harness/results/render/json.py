"""Every view as plain JSON values under a versioned schema. Absent is null; no NaN; no text of a sensitive task."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from harness.records import SealedAccess, SentinelCheck, to_json as plain
from harness.results.human.records import METRIC, HumanReview
from harness.results.leaderboard.costs import OUTSIDE, known_ledger
from harness.results.leaderboard.raced import race_json
from harness.results.leaderboard.rows import Leaderboard, Row
from harness.results.render.human import arm_votes
from harness.results.studies.comparison import Comparison
from harness.results.studies.curve import LearningCurve
from harness.results.studies.suite import SuiteTable
from harness.results.studies.tuning import TuningReport


def _whole(schema: str, *parts: Mapping[str, Any]) -> dict[str, Any]:
    """The parts one after the other under a schema, with null in place of infinities and what is no number."""
    finite: dict[str, Any] = _finite({"schema": schema, **{name: part[name] for part in parts for name in part}})
    return finite


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _fields(record: object, names: str, **renamed: str) -> dict[str, Any]:
    """These fields of a record as plain values, in this order; `renamed` says what some are called in JSON."""
    return {renamed.get(name, name): plain(getattr(record, name)) for name in names.split()}


def _name(board: Leaderboard | Comparison | TuningReport | LearningCurve) -> dict[str, Any]:
    return {"experiment": _fields(board.experiment, "experiment_id name", experiment_id="id")}


def _experiment(board: Leaderboard) -> dict[str, Any]:
    record = board.experiment
    return {
        "experiment": {
            **_fields(record, "experiment_id name file created", experiment_id="id"),
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


def to_json(board: Leaderboard) -> dict[str, Any]:
    """The leaderboard: experiment, metrics with directions, and a row for each arm, ranked."""
    environments = board.environments
    return _whole(
        "harness.leaderboard/2",
        _experiment(board),
        _fields(board, "primary reference estimand question verdict"),
        {
            "winner_rules": list(board.experiment.spec.get("winner_rules") or ()),
            "clusters": board.clusters,
            "looks": {"experiment": board.looks, "in_all": board.looks_in_all},
            "leaks": board.leaks,
            "environments": [
                {
                    "fingerprint": name,
                    "environment": plain(environment),
                    "arms": [arm for arm, prints in environments.of_arm.items() if name in prints],
                    "accepted": not any(name in environments.of_arm[arm] for arm in environments.unranked),
                }
                for name, environment in environments.known.items()
            ],
        },
        _fields(board, "notes columns forgetting", columns="metrics"),
        {
            "rows": [_row(row) for row in board.rows],
            "serving": _serving(board),
            "human": _human(board),
            "race": race_json(board.experiment),
        },
    )


def _row(row: Row) -> dict[str, Any]:
    names = "arm method status seeds evaluations cells to_best ranks best_probability cost answers looks budget events"
    names += " unranked_reason budget_known notes errors"
    fields = _fields(row, names, cells="metrics", to_best="difference_to_best", unranked_reason="apart")
    for cell in fields["metrics"].values():
        cell |= {name: cell[name] or None for name in ("reason", "difference_reason")}
    always = ("answers", "length_limited", "truncated")
    fields["answers"] = {name: value for name, value in fields["answers"].items() if name in always or value}
    return fields | {"apart": fields["apart"] or None}


def _serving(board: Leaderboard) -> dict[str, Any] | None:
    """Figures of every arm; `harness serving --json` has the rounds."""
    serving = board.serving
    if serving is None:
        return None
    return {**_fields(serving.made, "pass_id created settings hardware"), **_fields(serving, "reference rows")}


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
                **_fields(arm, "ranks best_probability"),
                "votes": arm_votes(arm),
                "flags": plain(arm.flags),
            }
        )
    return {
        **_fields(review, "round split"),
        "unblinded": review.unblinded.when,
        **_fields(votes, "votes automatic examples raters", automatic="automatic_ties"),
        "excluded_raters": len(review.excluded),
        "alpha": plain(votes.alpha_nominal.estimate),
        "blinding_index": plain(review.blinding.estimate),
        "notes": list(review.notes),
        "rows": rows,
    }


def ledger_to_json(board: Leaderboard) -> dict[str, Any]:
    """What every arm was given and what it cost, the mean over its seeds (`rows`), and every single run (`runs`)."""
    names = "arm method status seeds budget budget_known cost notes errors"
    runs = [
        {
            **_fields(run, "arm method seed attempt role status error train_id"),
            "ledger": known_ledger(run),
            "budget_known": run.method not in OUTSIDE,
        }
        for run in board.runs
    ]
    price = (board.experiment.spec.get("resources") or {}).get("price_per_device_hour")
    rows = [_fields(row, names) for row in board.rows]
    race = race_json(board.experiment)
    return _whole(
        "harness.ledger/1",
        _experiment(board),
        {"price_per_device_hour": price, "rows": rows, "runs": runs, "race": race},
    )


def sentinel_to_json(checks: Sequence[SentinelCheck]) -> dict[str, Any]:
    """Checks of the present environment against others."""
    return _whole("harness.sentinel/1", {"checks": plain(list(checks))})


def comparison_to_json(comparison: Comparison) -> dict[str, Any]:
    """Two arms: every difference is a minus b."""
    metrics = [
        {
            **_fields(metric.column, "name direction primary", name="metric"),
            **_fields(metric, "a b difference p_value"),
            "reason": metric.reason or None,
        }
        for metric in comparison.metrics
    ]
    return _whole(
        "harness.compare/1",
        _name(comparison),
        _fields(comparison, "a b estimand"),
        {
            "metrics": metrics,
            "wins": {"a": comparison.wins_a, "b": comparison.wins_b, "ties": comparison.ties},
            "sensitive": comparison.sensitive,
            "samples": [{**plain(sample), "difference": sample.difference} for sample in comparison.samples],
            "notes": list(comparison.notes),
        },
    )


def human_to_json(review: HumanReview) -> dict[str, Any]:
    """The results of a round, every statistic with how it was made or why it is not there."""
    return _whole("harness.review-results/2", plain(review))


def serving_to_json(board: Leaderboard) -> dict[str, Any]:
    """The serving figures of every arm, and every round that they come from; null where nothing was measured."""
    serving = board.serving
    figures = {"pass": None, "rows": []} if serving is None else _fields(serving, "made rows", made="pass")
    return _whole("harness.serving/1", _name(board), {"reference": board.reference, **figures})


def looks_to_json(looks: Sequence[SealedAccess]) -> dict[str, Any]:
    """Every look at the test split: who, when, which evaluation of which arm and experiment, and why."""
    return _whole("harness.looks/1", {"looks": plain(list(looks))})


def suite_to_json(suite: SuiteTable) -> dict[str, Any]:
    """Arms, their ranks in every experiment, and the ids of the experiments."""
    experiments = [
        {**_name(board)["experiment"], "task": board.task, "primary": board.primary, "verdict": board.verdict.words}
        for board in suite.boards
    ]
    arms = [
        {"arm": arm, "mean_rank": suite.mean_rank(arm), "places": plain(list(standings))}
        for arm, standings in suite.standings.items()
    ]
    return _whole("harness.suite/1", {"experiments": experiments, "arms": arms})


def curve_to_json(curve: LearningCurve) -> dict[str, Any]:
    """Points and slopes of every arm."""
    return _whole("harness.curve/1", _name(curve), _fields(curve, "primary direction arms"))


def tuning_to_json(report: TuningReport) -> dict[str, Any]:
    """Every trial, what was chosen, and what it cost."""
    arms = [
        {
            **_fields(arm, "arm settings"),
            "chosen": plain(arm.chosen.values) if arm.chosen else None,
            "edge": list(arm.chosen.edge) if arm.chosen else [],
            **_fields(arm, "seconds full_trials trials"),
        }
        for arm in report.arms
    ]
    tuning, seeds = plain(report.experiment.spec.get("tuning")), plain(report.experiment.seeds)
    shown = _fields(report, "primary direction looks", looks="looks_at_test_by_trials")
    return _whole("harness.tuning/1", _name(report), {"tuning": tuning, "seeds": seeds}, shown, {"arms": arms})
