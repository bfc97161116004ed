"""lm-evaluation-harness tasks over our own Model protocol.

Requests, filters and metrics are lm-eval's; the forward passes are ours (lm_eval_model.py).

A task whose data is the sealed test split names `DATA_FILE` in its YAML; here it is read from
`SEALED/lm_eval/TASK.jsonl`, in memory, so nothing is copied into a shared cache.
"""

from __future__ import annotations

import functools
import json
import logging
import math
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import redaction
from harness.config import LmEvalSpec
from harness.errors import DataError, HarnessError, SpecError
from harness.models import Continuation, Logprob, Model
from harness.records import Likelihood, Score

if TYPE_CHECKING:
    from harness.models.lm_eval_model import Chat

Progress = Callable[[str, int, int], None]
"""Called with a phase, requests done and requests in all."""
CUT = "prompts_cut"
"""Metric that a document has, value 1, whose text lost its left to fit the context."""
SEALED = "sealed:"
"""Begins the name of a group of one, which only stands for a task with other data."""
Scorer = Callable[[str, Sequence[Continuation]], list[Logprob]]
"""Scores the requests of one kind (`loglikelihood`, `loglikelihood_rolling`), in the order given; with predict.score
behind it a killed run goes on where it was."""


@dataclass(frozen=True, slots=True)
class LmEvalContext:
    """Where tasks and data lie, what the results hang on, and how large batches are.

    Without `score` the requests are batched here and kept in memory until all are done. `chat` stands for
    `apply_chat_template`.
    """

    task_dir: Path
    sealed: Path
    eval_id: str
    batch_tokens: int = 16384
    max_rows: int = 128
    score: Scorer | None = None
    chat: Chat | None = None


@dataclass(frozen=True, slots=True)
class LmEvalResults:
    """What lm-eval's tasks came to for one model.

    A group with an aggregate of its own has its tasks' scores under its name too, items `TASK/ITEM`.
    """

    scores: list[Score]
    """One per document, metric and filter; for a document whose text was cut to fit, `prompts_cut` beside them."""
    likelihoods: list[Likelihood]
    """Of the choices."""
    totals: dict[tuple[str, str, str], float | None]
    """(task or group, metric, filter) → lm-eval's own value over all documents, None where it is no number."""
    higher_is_better: dict[tuple[str, str], bool]
    """(task or group, metric) → what its YAML says."""


def evaluate(model: Model, spec: LmEvalSpec, context: LmEvalContext, progress: Progress) -> LmEvalResults:
    """Scores and choice likelihoods of the tasks in `spec`; items are document hashes.

    Raises SpecError for a task that lm-eval does not know, DataError for one whose data cannot be read.
    """
    with _quiet():
        from lm_eval.evaluator import simple_evaluate

        from harness.models.lm_eval_model import HarnessLM

        batches = {"batch_tokens": context.batch_tokens, "max_rows": context.max_rows}
        lm = HarnessLM(model, score=context.score, progress=progress, chat=context.chat, **batches)
        manager, loaded = _tasks(spec, context.task_dir, context.sealed)
        results: Any
        try:
            results = simple_evaluate(
                model=lm,
                tasks=loaded.roots,
                task_manager=manager,
                limit=spec.limit,
                num_fewshot=spec.num_fewshot,
                apply_chat_template=context.chat is not None,
                system_instruction=context.chat.system if context.chat is not None else None,
                bootstrap_iters=0,
                log_samples=True,
                # lm-eval would seed the global generators; few-shot sampling keeps a generator of its own.
                random_seed=None,
                numpy_random_seed=None,
                torch_random_seed=None,
            )
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            if isinstance(error, HarnessError) or not {"lm_eval", "sklearn"} & set(Path(frame.filename).parts):
                raise
            raise DataError(
                f"lm-eval cannot score {', '.join(spec.tasks)} ({_reason(error)})", hint="Check the metrics in its YAML"
            ) from error
    likelihoods: list[Likelihood] = []
    by_task: dict[str, list[Score]] = {}
    for task, samples in results["samples"].items():
        scores = by_task[task] = []
        version = _version(results["versions"].get(task))
        items = _items(samples)
        for sample in samples:
            scores += _scores(sample, context.eval_id, task, items[sample["doc_id"]], version)
        for item in sorted({items[document] for name, document in lm.cut if name == task}):
            scores.append(Score(context.eval_id, f"lm_eval:{task}", item, CUT, "none", version, "ok", 1.0))
        for (name, document, index), (logprob, tokens, size) in sorted(lm.seen.items()):
            if name == task and document in items:
                row = (context.eval_id, f"lm_eval:{task}", items[document], index, "choice", logprob, tokens, size)
                likelihoods.append(Likelihood(*row))
    for name, group in loaded.groups.items():
        wanted = {entry.metric for entry in group.aggregate_metric_list or ()}
        version = _version(results["versions"].get(name))
        by_task[name] = [
            replace(row, suite=f"lm_eval:{name}", item=f"{task.task_name}/{row.item}", version=version)
            for task in group.get_all_tasks()
            for row in by_task[task.task_name]
            if row.metric in wanted
        ]
    totals: dict[tuple[str, str, str], float | None] = {}
    for name, values in {**results["results"], **results.get("groups", {})}.items():
        for key, value in values.items():
            kind, comma, chosen = key.partition(",")
            if comma and not kind.endswith("_stderr"):
                totals[name, kind, chosen] = float(value) if _is_number(value) else None
    better = {
        (name, kind): bool(higher)
        for name, kinds in results["higher_is_better"].items()
        for kind, higher in kinds.items()
        if higher is not None
    }
    return LmEvalResults([row for rows in by_task.values() for row in rows], likelihoods, totals, better)


def documents(spec: LmEvalSpec, task_dir: Path, sealed: Path) -> dict[str, list[str]]:
    """Texts of each task's documents as lm-eval puts them to a model (few-shot examples left out), by task name.

    For the leakage check. Tasks over the sealed test split repeat its prompts.
    """
    with _quiet():
        _, loaded = _tasks(spec, task_dir, sealed)
        return {
            name: [str(task.doc_to_text(doc)) for _, doc in task.doc_iterator(limit=spec.limit)]
            for name, task in loaded.tasks.items()
        }


def metric_names(spec: LmEvalSpec, task_dir: Path) -> dict[str, dict[str, str] | None]:
    """Task or group → the metrics that it will have a value of (`acc`, `exact_match,FILTER`) → how lm-eval aggregates
    them; None for a task that is written in Python. From YAML alone, without data.

    Raises SpecError for a task that lm-eval does not know, DataError for YAML that cannot be read.
    """
    with _quiet():
        from lm_eval.tasks._yaml_loader import load_yaml

        manager = _manager(spec, task_dir)
        names: dict[str, dict[str, str] | None] = {}

        def walk(name: str, changes: Mapping[str, Any]) -> None:
            entry = manager.task_index.get(name)
            written = dict(load_yaml(entry.yaml_path, resolve_func=False)) if entry and entry.yaml_path else {}
            written |= changes
            if entry is not None and entry.kind.name == "TAG":
                for member in sorted(entry.tags):
                    walk(member, changes)
            elif isinstance(written.get("task"), list):
                metrics = written.get("aggregate_metric_list") or []
                metrics = metrics if isinstance(metrics, list) else [metrics]
                names[name] = {}
                for metric in metrics:
                    how = "mean" if metric.get("weight_by_size", True) else "mean of the means of its tasks"
                    filters = metric.get("filter_list") or ["none"]
                    for chosen in [filters] if isinstance(filters, str) else filters:
                        names[name] = {**(names[name] or {}), _name(metric["metric"], chosen): how}
                for member in written["task"]:
                    inner = member if isinstance(member, Mapping) else {}
                    walk(str(inner.get("task") or inner.get("group") or member), dict(inner))
            else:
                names[name] = _metrics_of(written)

        for name in spec.tasks:
            try:
                walk(name, {})
            except HarnessError:
                raise
            except Exception as error:
                raise _unreadable(name, error) from error
    return names


def _metrics_of(written: Mapping[str, Any]) -> dict[str, str] | None:
    """The metrics of one task's YAML → how they are aggregated."""
    from lm_eval.api.registry import AGGREGATION_REGISTRY, DEFAULT_METRIC_REGISTRY, get_metric_aggregation

    listed = written.get("metric_list")
    if listed is None:
        listed = [{"metric": name} for name in DEFAULT_METRIC_REGISTRY.get(written.get("output_type", ""), ())]
    if "class" in written or not listed or any(metric.get("hf_evaluate") for metric in listed):
        return None
    aggregations = {function: name for name, function in AGGREGATION_REGISTRY.items()}
    filters = [chosen["name"] for chosen in written.get("filter_list") or [{"name": "none"}]]
    names: dict[str, str] = {}
    for metric in listed:
        metric_name = str(metric["metric"]).rpartition(".")[2]  # a function is called by its own name
        how = metric.get("aggregation") or aggregations.get(get_metric_aggregation(metric_name), "")
        names |= {_name(metric_name, chosen): str(how) for chosen in filters}
    return names


def _name(metric: str, chosen: str) -> str:
    return metric if chosen in ("", "none") else f"{metric},{chosen}"


# ---------------------------------------------------------------------------------------------------------- tasks


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What the names of a spec stand for: tasks and groups as they were named, all tasks, all groups."""

    roots: list[Any]
    tasks: dict[str, Any]
    groups: dict[str, Any]


def _manager(spec: LmEvalSpec, task_dir: Path) -> Any:
    """lm-eval's index of tasks. Its own thousands of YAML files (about ten seconds) are read only when a name is not
    found locally."""
    from lm_eval.tasks import TaskManager

    local = str(task_dir / spec.include_path) if spec.include_path else None
    if local is not None and not Path(local).is_dir():
        raise SpecError(f"{local} is not a folder", field="lm_eval.include_path", hint="Mend the path")
    manager = TaskManager(include_defaults=False, include_path=local)
    if any(name not in manager.all_tasks for name in spec.tasks):
        manager = TaskManager(include_defaults=True, include_path=local)
    for name in spec.tasks:
        if name not in manager.all_tasks:
            raise SpecError(
                f"lm-eval has no task {name}",
                field="lm_eval.tasks",
                hint="See `lm_eval --tasks list`, or put its YAML file into lm_eval.include_path",
            )
    return manager


def _tasks(spec: LmEvalSpec, task_dir: Path, sealed: Path) -> tuple[Any, _Loaded]:
    """The task manager, and what the names in `spec` stand for; tags are spread out into their tasks."""
    manager = _manager(spec, task_dir)
    loaded = _Loaded([], {}, {})
    for name in spec.tasks:
        named = _load(manager, name, sealed)
        groups = {key: group for key, group in named["groups"].items() if not key.startswith(SEALED)}
        inside = {task for group in groups.values() for task in group.get_all_tasks()}
        loaded.roots.extend(groups[key] for key in groups if key == name)
        loaded.roots.extend(task for task in named["tasks"].values() if task not in inside)
        loaded.tasks.update(named["tasks"])
        loaded.groups.update(groups)
    return manager, loaded


def _load(manager: Any, name: str, sealed: Path) -> dict[str, Any]:
    file = sealed / "lm_eval" / f"{name}.jsonl"
    task: Any = name
    if file.is_file():
        # A group of one is lm-eval's way to give a task of its index other settings than its YAML's.
        source = {"custom_dataset": functools.partial(_dataset, file), "dataset_kwargs": {}}
        task = {"group": f"{SEALED}{name}", "task": [{"task": name, **source}]}
    try:
        return dict(manager.load([task]))
    except HarnessError:
        raise
    except Exception as error:
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: Exception) -> DataError:
    return DataError(f"the lm-eval task {name} cannot be loaded ({_reason(error)})", hint="Check its YAML and data")


def _reason(error: Exception) -> str:
    return redaction.reason(error, (str(error).strip() or type(error).__name__).splitlines()[0][:200])


def _dataset(file: Path, **_: Any) -> dict[str, Any]:
    """The rows of a JSON-lines file as split `test`."""
    import datasets

    with file.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines if line.strip()]
    if not rows:
        raise DataError(f"{file} holds no documents", hint="Prepare the task again")
    return {"test": datasets.Dataset.from_list(rows)}


# -------------------------------------------------------------------------------------------------------- results


def _items(samples: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """Document number → item: 16 digits of lm-eval's document hash, with `#n` from the second same document on."""
    items: dict[int, str] = {}
    seen: dict[str, int] = {}
    for sample in sorted(samples, key=lambda row: int(row["doc_id"])):
        if sample["doc_id"] in items:
            continue
        name = str(sample["doc_hash"])[:16]
        seen[name] = seen.get(name, 0) + 1
        items[sample["doc_id"]] = name if seen[name] == 1 else f"{name}#{seen[name]}"
    return items


def _scores(sample: Mapping[str, Any], eval_id: str, task: str, item: str, version: int) -> list[Score]:
    """One score per metric of one sample; metrics that only exist over a corpus of texts are `missing` here."""
    rows = []
    for metric in sample["metrics"]:
        value, statistics = _value(metric, sample[metric])
        rows.append(
            Score(
                eval_id=eval_id,
                suite=f"lm_eval:{task}",
                item=item,
                metric=metric,
                filter=str(sample["filter"]),
                version=version,
                status="missing" if value is None else "ok",
                value=value,
                statistics=statistics,
            )
        )
    return rows


def _value(metric: str, raw: Any) -> tuple[float | None, tuple[float, ...] | None]:
    """A sample's number, and (sum of log-probabilities, words or bytes) for lm-eval's three weighted metrics."""
    if isinstance(raw, (tuple, list)) and len(raw) == 2 and all(_is_number(part) for part in raw):
        logprob, weight = float(raw[0]), float(raw[1])
        if metric == "bits_per_byte":
            return -logprob / weight / math.log(2), (logprob, weight)
        if metric in ("word_perplexity", "byte_perplexity"):
            return math.exp(-logprob / weight), (logprob, weight)
    return (float(raw), None) if _is_number(raw) else (None, None)


def _is_number(raw: Any) -> bool:
    import numbers

    return isinstance(raw, numbers.Real) or (hasattr(raw, "item") and getattr(raw, "ndim", 1) == 0)


def _version(raw: Any) -> int:
    """lm-eval's task version as a whole number; tasks without a number count as version 0, as in lm-eval."""
    try:
        return int(float(raw))
    except (TypeError, ValueError):
        return 0


# ---------------------------------------------------------------------------------------------------------- noise


@contextmanager
def _quiet() -> Iterator[None]:
    """lm-eval without its log, its progress bars, and its description of the machine (1.5 s of subprocesses a call).

    Its template environment gets a cache: it compiles every template anew for every document (1.2 s for 200).
    """
    import datasets
    import lm_eval.api.model
    import lm_eval.api.task
    import lm_eval.evaluator
    import lm_eval.utils

    silent = functools.partial(lm_eval.api.task.tqdm, disable=True)
    bars = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    logger = logging.getLogger("lm_eval")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with ExitStack() as stack:
        stack.enter_context(_replaced(lm_eval.api.task, "tqdm", silent))
        stack.enter_context(_replaced(lm_eval.api.model, "tqdm", silent))
        cached = functools.lru_cache(maxsize=256)(lm_eval.utils.env.from_string)
        stack.enter_context(_replaced(lm_eval.utils.env, "from_string", cached))
        for name in ("add_env_info", "add_tokenizer_info", "get_git_commit_hash"):
            stack.enter_context(_replaced(lm_eval.evaluator, name, lambda *a, **k: None))
        try:
            yield
        finally:
            logger.setLevel(level)
            if not bars:
                datasets.enable_progress_bars()


@contextmanager
def _replaced(module: Any, name: str, value: Any) -> Iterator[None]:
    """Give `module.name` another value for a while; a name that this release does not have stays absent."""
    if not hasattr(module, name):
        yield
        return
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)
