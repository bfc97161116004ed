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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import redaction
from harness.config import LmEvalSpec
from harness.errors import DataError, HarnessError, SpecError
from harness.models import Continuation, Logprob, Model
from harness.records import Likelihood, Score

Progress = Callable[[str, int, int], None]
"""Called with a phase, requests done and requests in all."""
Scorer = Callable[[str, Sequence[Continuation]], list[Logprob]]
"""Scores the requests of one kind (`loglikelihood`, `loglikelihood_rolling`), in the order given; with predict.score
behind it a killed run goes on where it was."""


@dataclass(frozen=True, slots=True)
class LmEvalContext:
    """Where tasks and data lie, what the results hang on, and how large batches are.

    Without `score` the requests are batched here and kept in memory until all are done.
    """

    task_dir: Path
    sealed: Path
    eval_id: str
    batch_tokens: int = 16384
    max_rows: int = 128
    score: Scorer | None = None


def evaluate(
    model: Model, spec: LmEvalSpec, context: LmEvalContext, progress: Progress
) -> tuple[list[Score], list[Likelihood]]:
    """Scores (one per document, metric and filter) and choice likelihoods of the tasks in `spec`.

    Items are document hashes. Raises SpecError for a task that lm-eval does not know, DataError for one whose data
    cannot be read.
    """
    with _quiet():
        from lm_eval.evaluator import simple_evaluate

        from harness.models.lm_eval_model import HarnessLM

        batches = {"batch_tokens": context.batch_tokens, "max_rows": context.max_rows}
        lm = HarnessLM(model, score=context.score, progress=progress, **batches)
        manager, tasks = _tasks(spec, context.task_dir, context.sealed)
        results: Any = simple_evaluate(
            model=lm,
            tasks=list(tasks.values()),
            task_manager=manager,
            limit=spec.limit,
            bootstrap_iters=0,
            log_samples=True,
            # lm-eval would seed the global generators; few-shot sampling keeps a generator of its own.
            random_seed=None,
            numpy_random_seed=None,
            torch_random_seed=None,
        )
    scores: list[Score] = []
    likelihoods: list[Likelihood] = []
    for task, samples in results["samples"].items():
        version = _version(results["versions"].get(task))
        items = _items(samples)
        for sample in samples:
            scores += _scores(sample, context.eval_id, task, items[sample["doc_id"]], version)
        for (name, document, index), (logprob, tokens, size) in sorted(lm.seen.items()):
            if name == task and document in items:
                row = (context.eval_id, f"lm_eval:{task}", items[document], index, "choice", logprob, tokens, size)
                likelihoods.append(Likelihood(*row))
    return scores, likelihoods


def documents(spec: LmEvalSpec, task_dir: Path, sealed: Path) -> dict[str, list[str]]:
    """Texts of each task's documents as lm-eval puts them to a model (few-shot examples left out), by task name.

    For the leakage check. Tasks over the sealed test split repeat its prompts.
    """
    with _quiet():
        _, tasks = _tasks(spec, task_dir, sealed)
        return {
            name: [str(task.doc_to_text(doc)) for _, doc in task.doc_iterator(limit=spec.limit)]
            for name, task in tasks.items()
        }


# ---------------------------------------------------------------------------------------------------------- tasks


def _tasks(spec: LmEvalSpec, task_dir: Path, sealed: Path) -> tuple[Any, dict[str, Any]]:
    """The task manager and the tasks by name; groups and tags are spread out into their tasks.

    lm-eval's own thousands of YAML files are indexed (about ten seconds) only when a name is not found locally.
    """
    from lm_eval.tasks import TaskManager

    local = str(task_dir / spec.include_path) if spec.include_path else None
    if local is not None and not Path(local).is_dir():
        raise SpecError(f"{local} is not a folder", field="lm_eval.include_path", hint="Mend the path")
    manager = TaskManager(include_defaults=False, include_path=local)
    if any(name not in manager.all_tasks for name in spec.tasks):
        manager = TaskManager(include_defaults=True, include_path=local)
    tasks: dict[str, Any] = {}
    for name in spec.tasks:
        if name not in manager.all_tasks:
            raise SpecError(
                f"lm-eval has no task {name}",
                field="lm_eval.tasks",
                hint="See `lm_eval --tasks list`, or put its YAML file into lm_eval.include_path",
            )
        tasks.update(_load(manager, name, sealed))
    return manager, tasks


def _load(manager: Any, name: str, sealed: Path) -> dict[str, Any]:
    file = sealed / "lm_eval" / f"{name}.jsonl"
    task: Any = name
    if file.is_file():
        # A group of one is lm-eval's way to give a task of its index other settings than its YAML's.
        source = {"custom_dataset": functools.partial(_dataset, file), "dataset_kwargs": {}}
        task = {"group": f"sealed:{name}", "task": [{"task": name, **source}]}
    try:
        return dict(manager.load([task])["tasks"])
    except HarnessError:
        raise
    except Exception as error:
        text = redaction.reason(error, (str(error).strip() or type(error).__name__).splitlines()[0][:200])
        raise DataError(f"the lm-eval task {name} cannot be loaded ({text})", hint="Check its YAML and data") from error


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
