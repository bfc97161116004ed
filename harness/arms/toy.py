"""A model without torch, for tests of everything around the models: pipeline, executors, store, leaderboard.

It reads characters, and answers with the last words of its prompt for a share `skill` of all prompts, with garbage for
the rest. Which prompts it can do is a hash of seed and prompt, and a better skill can do all that a lesser one can.
With a learning rate it counts as trained, and its skill is a known function of the rate and of the train examples. At
a rung of a race it has half its skill, and more the later the rung.
"""

from __future__ import annotations

import hashlib
import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.arms import Progress, TrainResult, artefacts
from harness.arms.training.stopping import StopFlag
from harness.config import ToySpec
from harness.data.prompts import Prompter
from harness.errors import ArmFailed, Diverged, HarnessError, OutOfMemory
from harness.models import Continuation, Generation, Logprob, library_configs
from harness.records import Artefact, Ledger, RunPlan, TrainingData, TrainLogRow
from harness.records.files import write_records, write_text

VERSION = 1
BOS, EOS, FIRST = 1, 2, 3
CONTEXT = 100_000
TICK = 0.01
"""Seconds between looks at the stop flag."""

FAILURES: dict[str, Callable[[], HarnessError]] = {
    "error": lambda: ArmFailed("the toy was told to fail"),
    "oom": lambda: OutOfMemory("the toy was told to run out of memory"),
    "diverged": lambda: Diverged("the toy was told to diverge: the loss is nan at step 1"),
    "cancelled": lambda: ArmFailed("cancelled: the toy was told to be cancelled"),
}


@dataclass(frozen=True, slots=True)
class Knowledge:
    """All that a toy learns: how often it is right, its seed, and how many words an answer has."""

    skill: float
    seed: int
    words: int


class ToyTokenizer:
    """One token a character."""

    bos_token_id: int | None = BOS
    eos_token_id: int | None = EOS
    pad_token_id: int | None = 0
    chat_template: Any = None

    def encode(self, text: str, *, add_special_tokens: bool = True, verbose: bool = True) -> list[int]:
        """Code points, with the beginning-of-sequence token in front if special tokens are wanted."""
        return [BOS] * add_special_tokens + [ord(character) + FIRST for character in text]

    def decode(self, token_ids: Sequence[int], **options: Any) -> str:
        """Text of token ids; special tokens are left out."""
        return "".join(chr(token - FIRST) for token in token_ids if token >= FIRST)


class ToyModel:
    """The `Model` protocol over Knowledge; deterministic."""

    def __init__(self, knowledge: Knowledge, serves: int | None = None, token_seconds: float = 0.0) -> None:
        self.knowledge, self._serves, self._token_seconds = knowledge, serves, token_seconds
        self.tokenizer = ToyTokenizer()
        self.context = CONTEXT
        self.prefix_id = BOS

    def generate(self, prompts: Sequence[Sequence[int]], max_new_tokens: int, stop: Sequence[str]) -> list[Generation]:
        """The last words of each prompt, or garbage; cut at `stop` and at `max_new_tokens`."""
        return [self._generate(prompt, max_new_tokens, stop) for prompt in prompts]

    def logprobs(self, requests: Sequence[Continuation]) -> list[Logprob]:
        """Half a nat a token where the toy can do the prompt, two where it cannot, and a little noise by hash."""
        results = []
        for request in requests:
            can = self._can(request.context)
            noise = _share(self.knowledge.seed, "noise", *request.context, "|", *request.target)
            cost = (0.5 if can else 2.0) + 0.2 * noise
            results.append(Logprob(-cost * len(request.target), len(request.target), can))
        return results

    def forced(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> int:
        """Pretend to generate; out of memory for more rows than the arm serves."""
        if self._serves is not None and len(prompts) > self._serves:
            raise OutOfMemory(f"the toy was told to serve {self._serves} rows")
        time.sleep(self._token_seconds * new_tokens)
        return len(prompts) * new_tokens

    @property
    def weights_bytes(self) -> int:
        """One number."""
        return 8

    def encode(self, text: str) -> list[int]:
        """Token ids of plain text."""
        return self.tokenizer.encode(text, add_special_tokens=False)

    def close(self) -> None:
        """Nothing to free."""

    def _can(self, prompt: Sequence[int]) -> bool:
        return _share(self.knowledge.seed, *prompt) < self.knowledge.skill

    def _generate(self, prompt: Sequence[int], max_new_tokens: int, stop: Sequence[str]) -> Generation:
        words = self.tokenizer.decode(prompt).split()[-self.knowledge.words :]
        text = " ".join(words) if self._can(prompt) else " ".join(word[::-1] + "z" for word in reversed(words))
        cuts = [text.find(end) for end in stop if end and end in text]
        text = text[: min(cuts)] if cuts else text
        tokens = tuple(self.encode(text))
        if len(tokens) <= max_new_tokens:
            return Generation(tokens, text, "stop")
        return Generation(tokens[:max_new_tokens], text[:max_new_tokens], "length")


def train(plan: RunPlan, data: TrainingData, progress: Progress) -> TrainResult:
    """Pretend to train for `seconds`, honouring SIGTERM and SIGHUP; fail as `fail` says."""
    done = artefacts.read_result(plan.run_folder)
    if done is not None:
        return done
    arm = plan.arm
    assert isinstance(arm, ToySpec)
    plan.run_folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    share = 1.0 if plan.rung is None else plan.rung.share
    _pass_time(arm.seconds * share, progress)
    if arm.fail != "none":
        raise FAILURES[arm.fail]()
    lengths = [len(example.references[0].split()) for example in data.train]
    words = int(statistics.median(lengths)) if lengths else 1
    skill = learned_skill(arm, len(data.train)) * (0.5 + 0.5 * share)
    knowledge = Knowledge(skill, plan.seed or 0, max(1, words))
    budget = round((plan.experiment.spec.budget.examples or len(data.train)) * share)
    spent = time.perf_counter() - started
    loss = 2.0 - skill
    row = TrainLogRow(step=1, examples=budget, tokens=budget, seconds=spent, loss=loss, validation_loss=loss)
    write_records(plan.run_folder / "train_log.jsonl", [row])
    library_configs.write(
        plan.run_folder, [library_configs.describe("toy", knowledge, Knowledge(0.5, plan.seed or 0, 1))]
    )
    learned = json.dumps(asdict(knowledge), sort_keys=True)
    folder = artefacts.write_folder(plan, lambda path: write_text(path / "toy.json", learned))
    experiment = plan.experiment
    prompter = Prompter(ToyTokenizer(), experiment.spec.chat, experiment.task, CONTEXT)
    artefact = artefacts.describe(plan, "full", folder, prompter.template_hash)
    ledger = Ledger(
        examples=budget,
        tokens=budget,
        target_tokens=budget,
        optimiser_steps=1,
        train_seconds=spent,
        trainable_parameters=1,
        total_parameters=1,
        artefact_bytes=artefacts.folder_bytes(folder),
    )
    result = TrainResult(artefact, ledger)
    return result if plan.rung is not None else artefacts.write_result(plan.run_folder, result)


def learned_skill(arm: ToySpec, examples: int) -> float:
    """The skill after training: skill · exp(-x²) · n / (n + half_data), x powers of ten between rate and best rate.

    Raises Diverged above 100 times the best rate.
    """
    share = examples / (examples + arm.half_data) if arm.half_data else 1.0
    if arm.learning_rate is None:
        return arm.skill * share
    distance = math.log10(arm.learning_rate / arm.best_rate)
    if distance > 2:
        raise Diverged(f"the loss is nan at step 1: a learning rate of {arm.learning_rate:g}")
    return arm.skill * share * math.exp(-(distance**2))


def load(plan: RunPlan, artefact: Artefact) -> ToyModel:
    """What was learned, ready to score."""
    assert artefact.path is not None
    text = (plan.run_folder / artefact.path / "toy.json").read_text(encoding="utf-8")
    arm = plan.arm
    assert isinstance(arm, ToySpec)
    return ToyModel(Knowledge(**json.loads(text)), arm.serves, arm.token_seconds)


def _pass_time(seconds: float, progress: Progress) -> None:
    ticks = round(seconds / TICK)
    with StopFlag() as stop:
        for tick in range(ticks):
            time.sleep(TICK)
            progress("train", tick + 1, ticks)
            stop.check("the toy's training")


def _share(*parts: object) -> float:
    """A number in [0, 1) that is a hash of `parts`."""
    content = hashlib.sha256(",".join(map(str, parts)).encode()).digest()
    return int.from_bytes(content[:7], "big") / 2**56
