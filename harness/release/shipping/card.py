"""The model card of an export: what it is, how it scored, what it took, how it was made, and how to serve it.

YAML front matter with `model-index` as the Hugging Face hub reads it. With `sensitive: true` in the task it holds no
prompt, text or id; paths of this machine are in no card.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from harness import metrics
from harness.records import Estimate, Ledger, digest
from harness.release.shipping.runs import Shippable
from harness.results import numbers
from harness.results.estimator import Estimator, series, tabulate
from harness.results.leaderboard.costs import cost_of
from harness.results.render.ledger import QUANTITIES

HIDDEN = {"name", "path", "search", "method", "prompt", "pairs"}
"""Fields of an arm that its recipe leaves out: where something lay, or text."""


RANKS = (8, 16, 32, 64, 128, 256)
"""Values of `--max-lora-rank` that every version of vLLM takes."""


@dataclass(frozen=True, slots=True)
class ExportManifest:
    """What kind of model an export holds, and how it was made."""

    kind: Literal["adapter", "merged", "nf4", "int8"]
    uses_chat: bool
    """Whether its prompts went through a chat template."""
    into: str = ""
    """What an adapter was merged into, in words."""
    largest_change: float | None = None
    """Largest difference of a logit that merging made, on 16 fixed tokens."""
    rank: int | None = None
    """Of a LoRA adapter."""


def render(run: Shippable, manifest: ExportManifest) -> str:
    """The card, front matter included. Ends with a line end."""
    results = results_of(run)
    return f"---\n{_front(run, manifest, results)}---\n\n{_body(run, manifest, results)}"


def results_of(run: Shippable) -> dict[str, Estimate]:
    """Every metric of the stored evaluation with its interval, as the leaderboard has it for one seed."""
    record, eval_id = run.experiment, str(run.entry.eval_id)
    table = tabulate(run.scores)
    seed = int(record.seeds.get("bootstrap") or int(digest(record.experiment_id), 16))
    estimator = Estimator(record.groups, seed)
    asked = record.task["metrics"]
    first = [asked["primary"], *asked.get("also", [])]
    estimates = {}
    for name in dict.fromkeys([*first, *table.get(eval_id, {})]):
        values = series(table, [eval_id], name)
        if isinstance(values, str):
            continue
        estimate = estimator.value(metrics.of_task(name, record.task), values, run.entry.arm)
        if isinstance(estimate, Estimate):
            estimates[name] = estimate
    return estimates


def base_name(run: Shippable) -> str:
    """Hub id of the base, or the name of its folder."""
    base = run.plan.experiment.base
    return Path(base.path).name if Path(base.path).is_absolute() else str(base.path)


def _front(run: Shippable, manifest: ExportManifest, results: Mapping[str, Estimate]) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    record = run.experiment
    task = record.task
    shared: dict[str, Any] = {
        "task_type": "text-generation",
        "dataset_type": str(task["name"]),
        "dataset_name": f"{task['name']} v{task.get('version', 1)}, sealed test split",
        "dataset_split": "test",
        "dataset_revision": record.suite,
    }
    rows = []
    for name, estimate in results.items():
        words = numbers.with_interval(estimate, metrics.of_task(name, task).bounds)
        limits = {"low": _number(estimate.low), "high": _number(estimate.high), "level": estimate.level}
        rows.append(
            EvalResult(
                metric_type=name,
                metric_value=_number(estimate.value),
                metric_name=f"{name} {words}",
                metric_args={**limits, "examples": estimate.n, "clusters": estimate.clusters},
                **shared,
            )
        )
    hub = not Path(run.plan.experiment.base.path).is_absolute()
    data = ModelCardData(
        base_model=base_name(run) if hub else None,
        library_name="peft" if manifest.kind == "adapter" else "transformers",
        pipeline_tag="text-generation",
        tags=[run.run.method, *([manifest.kind] if manifest.kind != "adapter" else [])],
        model_name=run.name,
        eval_results=rows,
    )
    return str(data.to_yaml()).rstrip("\n") + "\n"


def _number(value: float | None) -> float | None:
    """Six digits carry all that an interval leaves."""
    return None if value is None else float(f"{value:.6g}")


def _body(run: Shippable, manifest: ExportManifest, results: Mapping[str, Estimate]) -> str:
    parts = [
        f"# {run.name}",
        _what(run, manifest),
        "## Results",
        _results(run, results),
        "## How it was trained",
        *_training(run),
        "## What it took",
        _ledger(run),
        "## Serving",
        *_serving(run, manifest),
        "## Fingerprints",
        _rows(("", ""), fingerprints(run).items()),
    ]
    return "\n\n".join(parts) + "\n"


def _what(run: Shippable, manifest: ExportManifest) -> str:
    task = run.experiment.task
    whole = {
        "adapter": f"An adapter for {base_name(run)}",
        "merged": "A whole model",
        "nf4": "A whole model, quantised to 4 bits (nf4) by bitsandbytes",
        "int8": "A whole model, quantised to 8 bits by bitsandbytes",
    }[manifest.kind]
    into = f" Its adapter was merged into {manifest.into}." if manifest.into else ""
    return (
        f"{whole}: the run {run.name} ({run.run.method}) of task {task['name']}.{into} The results below are those of "
        "the run as it was evaluated; whether this export scores the same is what `harness parity` tells."
    )


def _results(run: Shippable, results: Mapping[str, Estimate]) -> str:
    rows = []
    for name, estimate in results.items():
        metric = metrics.of_task(name, run.experiment.task)
        arrow = "↑" if metric.direction == "higher" else "↓"
        rows.append(
            (f"{name} {arrow}", numbers.with_interval(estimate, metric.bounds), f"{estimate.n} ({estimate.clusters})")
        )
    note = (
        "Intervals are about this checkpoint: they cover which test examples were drawn, and say nothing of other "
        "seeds. Examples of one group are not taken for independent."
    )
    table = _rows(("metric", "value [95 %]", "items (groups)"), rows)
    return f"{table}\n\n{note}"


def _training(run: Shippable) -> list[str]:
    record, plan = run.experiment, run.plan
    task, spec, sizes = record.task, record.spec, record.split_sizes
    recipe = {name: value for name, value in plan.arm.model_dump(mode="json").items() if name not in HIDDEN}
    licence = (task.get("data") or {}).get("licence", "unknown")
    budget = ", ".join(f"{value} {name}" for name, value in (spec.get("budget") or {}).items() if value is not None)
    generate = (task.get("generate") or {}).items()
    settings = ", ".join(f"{name} {value}" for name, value in generate if value not in (None, [], ()))
    rows = [
        ("method", run.run.method),
        ("seed", "none" if run.entry.seed is None else str(run.entry.seed)),
        ("base model", base_name(run)),
        ("data type", plan.experiment.base.dtype),
        ("budget", budget),
        ("examples", ", ".join(f"{count} {name}" for name, count in sizes.items())),
        ("licence of the data", licence),
        ("generation when scored", f"greedy, {settings}"),
    ]
    parts = [_rows(("", ""), rows), f"```json\n{json.dumps(recipe, indent=1, ensure_ascii=False)}\n```"]
    if not task.get("sensitive") and task.get("prompt"):
        parts.append(f"Its prompts are made by this template (Jinja2):\n\n{_fenced(str(task['prompt']))}")
    return parts


def _fenced(text: str) -> str:
    """`text` as a code block that it cannot leave."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}text\n{text}\n{fence}"


def _ledger(run: Shippable) -> str:
    own: Ledger = run.run.ledger
    if run.run.method == "imported":
        return "It was trained elsewhere: its data and cost are not known here."
    ledgers = [own] if own.parent is None else [own, own.parent]
    costs = [cost_of([replace(ledger, parent=None)]) for ledger in ledgers]
    head = ("", "this arm") if own.parent is None else ("", "this arm", "its parent, before")
    # What the arm's trials took is in no run's own ledger.
    shown = [(name, show) for name, show in QUANTITIES if name != "tuning s"]
    return _rows(head, [(name, *(show(cost) for cost in costs if cost is not None)) for name, show in shown])


def _serving(run: Shippable, manifest: ExportManifest) -> list[str]:
    task = run.experiment.task
    limit = (task.get("generate") or {}).get("max_new_tokens")
    chat = manifest.uses_chat
    api = "`/v1/chat/completions`" if chat else "`/v1/completions`, with the prompt as text"
    asked = f"It was scored greedily (temperature 0), with at most {limit} new tokens, through {api}."
    if manifest.kind == "adapter":
        how = (
            "vLLM serves several adapters over one base (their ranks at most `--max-lora-rank`); for one model, "
            "`harness export --merge` and the line that its card gives:"
        )
        rank = next((size for size in RANKS if size >= (manifest.rank or 16)), manifest.rank)
        line = f"vllm serve {base_name(run)} --enable-lora --lora-modules {run.entry.arm}=. --max-lora-rank {rank}"
    else:
        how = "In this folder, with `transformers[serving]` installed:"
        line = "transformers serve . --host 127.0.0.1 --port 8000"
    return [asked, f"{how}\n\n```sh\n{line}\n```"]


def fingerprints(run: Shippable) -> dict[str, str]:
    """What the run is told by."""
    packages = run.run.provenance.packages
    names = ("torch", "transformers", "peft", "bitsandbytes")
    return {
        "run": run.name,
        "experiment": run.experiment.experiment_id,
        "training": run.entry.train_id,
        "evaluation": str(run.entry.eval_id),
        "artefact": run.artefact.hash,
        "files of the artefact": run.artefact.files_hash,
        "base model": run.artefact.base_hash,
        "sealed suite": run.experiment.suite,
        "train and test splits": run.experiment.task_fingerprint,
        "harness": f"{run.run.provenance.harness_version}, commit {run.run.provenance.commit or 'unknown'}",
        "packages": ", ".join(f"{name} {packages[name]}" for name in names if name in packages),
    }


def _rows(head: Sequence[str], rows: Any) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: object) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")
