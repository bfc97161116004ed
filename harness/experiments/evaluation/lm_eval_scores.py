"""lm-eval's scores as ours: declared names that exist, values over all documents that are lm-eval's own."""

from __future__ import annotations

import difflib
import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from harness.config import TaskSpec
from harness.data.prompts import Prompter
from harness.errors import ModelError, SpecError
from harness.metrics import is_own, lm_eval_metric
from harness.models.lm_eval_model import Chat
from harness.models.lm_eval_tasks import CUT, LmEvalResults, metric_names
from harness.records import Score

SAME = 1e-6
"""Largest relative difference between lm-eval's value over all documents and ours."""
COMPUTED = ("mean", "nanmean", "perplexity", "weighted_perplexity", "bits_per_byte")
"""lm-eval's aggregations that are computed from the values of single documents here, as intervals need it."""


def check_names(task: TaskSpec, task_dir: Path) -> list[str]:
    """Raise SpecError for a declared metric `TASK/METRIC` that lm-eval will not give; notes on those without intervals.

    Imports lm-eval where the task names any of its tasks, and reads their YAML, no data.
    """
    declared = [("metrics.primary", task.metrics.primary)]
    declared += [(f"metrics.also.{number}", name) for number, name in enumerate(task.metrics.also)]
    declared = [(field, name) for field, name in declared if "/" in name and not is_own(name)]
    specs = [spec for spec in (task.lm_eval, task.retention.tasks if task.retention else None) if spec is not None]
    given = {name: kinds for spec in specs for name, kinds in metric_names(spec, task_dir).items()}
    names = {f"{name}/{kind}": how for name, kinds in given.items() for kind, how in (kinds or {}).items()}
    notes = []
    for field, name in declared:
        lm_eval_task = name.rpartition("/")[0]
        if lm_eval_task in given and given[lm_eval_task] is None:
            continue  # written in Python: only running it tells
        if name not in names:
            near = difflib.get_close_matches(name, names, 1, 0.6)
            listed = [other for other in names if other.startswith(f"{lm_eval_task}/")] or list(names)
            raise SpecError(
                f"lm-eval will give no metric {name!r}",
                file=str(task_dir / "task.yaml"),
                field=field,
                hint=(f"Did you mean {near[0]}? " if near else "")
                + (
                    f"There are: {', '.join(listed[:8])}"
                    if listed
                    else "The task names no lm-eval tasks (lm_eval.tasks)"
                ),
            )
        if names[name] not in COMPUTED:
            why = f"lm-eval computes {name} over all documents ({names[name]}), so that no document has a value of it"
            if field == "metrics.primary":
                raise SpecError(
                    f"{why}, and nothing could be compared",
                    file=str(task_dir / "task.yaml"),
                    field=field,
                    hint="Choose a primary metric that is a mean over documents",
                )
            notes.append(f"{why}: it will not be shown")
    return notes


def chat(prompter: Prompter) -> Chat:
    """How lm-eval's documents go through the experiment's chat template. Raises ModelError where there is none."""
    if prompter.template is None:
        raise ModelError(
            "lm_eval.apply_chat_template needs a chat template, and there is none",
            hint="Give chat.template in the experiment, or leave the option out",
        )
    return Chat(prompter.template, prompter.chat_text, prompter.stop_strings, prompter.chat.system)


def agreeing(results: LmEvalResults) -> tuple[list[Score], dict[str, str]]:
    """Scores of the metrics that come to lm-eval's own values over all documents, and why the others have none.

    An aggregate that only lm-eval knows (F1, a function of the task's) is no mean of what single documents have: their
    mean under its name would be a wrong number.
    """
    groups: dict[tuple[str, str, str], list[Score]] = {}
    for row in results.scores:
        groups.setdefault((row.suite.partition(":")[2], row.metric, row.filter), []).append(row)
    scores: list[Score] = []
    withheld: dict[str, str] = {}
    for (task, kind, chosen), rows in groups.items():
        why = "" if kind == CUT else _why_not(task, kind, chosen, rows, results)
        if why:
            withheld[f"{task}/{kind}" + ("" if chosen in ("", "none") else f",{chosen}")] = why
            rows = [replace(row, status="missing", value=None, statistics=None) for row in rows]
        scores += rows
    return scores, withheld


def _why_not(task: str, kind: str, chosen: str, rows: list[Score], results: LmEvalResults) -> str:
    metric = lm_eval_metric(f"{task}/{kind}")
    theirs = results.totals.get((task, kind, chosen))
    values = [row.value for row in rows if row.value is not None]
    if len(values) < len(rows):
        return "lm-eval gives single documents no number for it"
    higher = results.higher_is_better.get((task, kind))
    if higher is not None and higher != (metric.direction == "higher"):
        told = "higher" if higher else "lower"
        return f"its YAML says that {told} values are better, and the name {kind} stands for the opposite here"
    if theirs is None or math.isnan(theirs):
        return "lm-eval gives no value over all documents for it"
    if metric.combine is None:
        ours = sum(values) / len(values)
    else:
        statistics = [row.statistics for row in rows if row.statistics is not None]
        if len(statistics) < len(rows):
            return "lm-eval aggregates it in a way of its own"
        ours = float(metric.combine(np.sum(statistics, axis=0)))
    if abs(ours - theirs) > SAME * max(1.0, abs(theirs)):
        return f"lm-eval aggregates it to {theirs:.6g} in a way of its own, where the mean over documents is {ours:.6g}"
    return ""
