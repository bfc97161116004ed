"""A model behind an OpenAI-compatible URL: nothing is trained or loaded, only asked.

Its artefact is what can be known of it from outside: URL, model name, API, and its answers to a few fixed prompts. A
server that answers them differently is another artefact, so that a change behind the same URL is noticed.
"""

from __future__ import annotations

import time
from typing import Any

from harness.arms import Progress, TrainResult, artefacts
from harness.arms.untrained import template_hash
from harness.config import EndpointSpec
from harness.data.prompts import PromptOverride
from harness.models.engines.endpoint import Client, EndpointModel
from harness.records import Artefact, Ledger, RunPlan, TrainingData
from harness.records.files import read_json, write_json

VERSION = 1
FILE = "endpoint.json"
PROBES = (
    "The capital of France is",
    "One, two, three, four,",
    "Doctor: How long have you had the cough?\nPatient:",
    "def add(a, b):\n    return",
)
"""Asked one at a time, so that no other request shares their batch."""
PROBE_TOKENS = 16


def train(plan: RunPlan, data: TrainingData, progress: Progress) -> TrainResult:
    """Ask the probes and write the answers down. Always asks: an earlier result says nothing about the server now."""
    started = time.perf_counter()
    spec = _spec(plan)
    answers = probe(client(plan), progress)
    content = {"url": spec.url, "model": spec.model, "api": spec.api, "probes": PROBES, "answers": answers}
    folder = artefacts.write_folder(plan, lambda path: write_json(path / FILE, content))
    override = PromptOverride(prompt=spec.prompt)
    artefact = artefacts.describe(plan, "endpoint", folder, template_hash(plan, override), prefix_hash=override.hash)
    ledger = Ledger(prepare_seconds=time.perf_counter() - started)
    note = f"served at {spec.url} as {spec.model}: its training, data, size and memory are not known here"
    return artefacts.write_result(plan.run_folder, TrainResult(artefact, ledger, (note,)))


def load(plan: RunPlan, artefact: Artefact) -> EndpointModel:
    """A model that asks the server; prompts are cut by the base model's tokenizer, as every other arm's are."""
    from transformers import AutoConfig

    from harness.data.prompts import context_length
    from harness.models.transformers import loading

    folder = loading.resolve_base(plan.experiment.base)
    config = AutoConfig.from_pretrained(str(folder), local_files_only=True)
    context = context_length(plan.experiment.base, config)
    return EndpointModel(client(plan), loading.load_tokenizer(folder), context)


def client(plan: RunPlan) -> Client:
    """The client of the arm of `plan`."""
    spec = _spec(plan)
    kwargs = plan.experiment.spec.chat.kwargs
    return Client(spec, {"chat_template_kwargs": dict(kwargs)} if kwargs and spec.api == "chat" else None)


def probe(asked: Client, progress: Progress = lambda phase, done, total: None) -> list[str]:
    """The server's answers to PROBES. Raises ArmFailed."""
    answers = []
    for number, text in enumerate(PROBES):
        progress("probe", number, len(PROBES))
        prompt: Any = text if asked.spec.api == "completions" else [{"role": "user", "content": text}]
        answers.append(asked.ask(prompt, PROBE_TOKENS, ()).text)
    return answers


def changed(plan: RunPlan, artefact: Artefact) -> int:
    """How many probes the server answers otherwise than when `artefact` was made, asked twice before it counts.

    Raises ArmFailed when it cannot be asked.
    """
    assert artefact.path is not None
    path = plan.run_folder / artefact.path / FILE
    if not path.is_file():
        return 0  # pruned: there is nothing to compare with
    answers = read_json(path)["answers"]
    different = 0
    for _ in range(2):
        different = sum(a != b for a, b in zip(probe(client(plan)), answers, strict=True))
        if not different:
            return 0
    return different


def _spec(plan: RunPlan) -> EndpointSpec:
    assert isinstance(plan.arm, EndpointSpec)
    return plan.arm
