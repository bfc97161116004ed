"""An experiment: one task, one base model, several arms under one budget."""

from __future__ import annotations

import itertools
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, InstanceOf, PositiveInt, SerializeAsAny, model_validator

from harness.config import plugins
from harness.config.arms import ArmBase, ArmSpec, Choices, RangeSpec
from harness.config.documents import FilePath, Spec

WinnerCost = Literal[
    "train_seconds",
    "total_seconds",
    "peak_memory_bytes",
    "trainable_parameters",
    "adapter_bytes",
    "latency",
    "throughput",
    "inference_memory",
]
"""Costs that a winner rule can name: training, or preparation, training and scoring together; peak memory; parameters
that were trained; bytes of what training left. With `serving:` also what the arm costs when it answers: latency to the
first token, seconds a token at the largest batch that fits, peak memory at batch 1."""
SERVING_COSTS: tuple[WinnerCost, ...] = ("latency", "throughput", "inference_memory")
"""Those that `serving:` measures."""


class BaseModelSpec(Spec):
    """The base model that every arm starts from."""

    path: FilePath
    """Local folder (relative to the file) or a Hugging Face id."""
    revision: str | None = None
    """Commit of a hub model."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Data type of weights and training."""
    autocast: Literal["bfloat16"] | None = None
    """Mixed precision: the data type of matrix products in every training, where it is not that of the weights."""
    attention: Literal["auto", "eager", "sdpa", "flash_attention_2"] = "auto"
    """Attention implementation of transformers; `auto` leaves the choice to it."""
    context: PositiveInt | None = None
    """Longest sequence used; without it what the model's config says."""


class ChatSpec(Spec):
    """Whether and how prompts go through the chat template; part of the prompt hash."""

    use: Literal["auto", "always", "never"] = "auto"
    """`auto`: when the tokenizer has a template (messages data always needs one)."""
    system: str | None = None
    """System text that replaces the task's."""
    template: str | None = None
    """Jinja2 chat template (or a path to one) that replaces the tokenizer's."""
    kwargs: dict[str, Any] = {}
    """Arguments of the template, for example `enable_thinking: false`."""
    date: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$")] = "2026-01-01"
    """The day that a template which writes today's date writes in its place, so that all arms get the same prompts."""


class BudgetSpec(Spec):
    """What every trained arm is given: exactly one of these."""

    examples: PositiveInt | None = None
    """Training examples seen, repeating the data in epochs when it asks for more."""
    tokens: PositiveInt | None = None
    """Training tokens seen (prompt and target)."""
    device_seconds: Annotated[float, Field(gt=0)] | None = None
    """Seconds of train steps."""

    @model_validator(mode="after")
    def _one(self) -> BudgetSpec:
        if sum(value is not None for value in (self.examples, self.tokens, self.device_seconds)) != 1:
            raise ValueError("give exactly one of examples, tokens and device_seconds")
        return self


class WinnerSpec(Spec):
    """The rule that names the winner on the task's primary metric, written before the run."""

    margin: Annotated[float, Field(ge=0)] = 0.0
    """Smallest difference that matters, in the metric's own unit (0.02 of rouge_l). Arms shown to differ by no more are
    tied. 0: every difference matters, so that arms are told apart or the data is too little, and never tied."""
    cost: WinnerCost = "total_seconds"
    """What a tie is decided by: the arm that is cheapest in this, its parent's training included in seconds."""
    estimand: Literal["auto", "checkpoints", "method"] = "auto"
    """What the verdict is about: `checkpoints` (those that were trained), `method` (other seeds too; needs three), or
    `auto`: the method where three seeds or more are given."""


class TuningSpec(Spec):
    """Equal tuning: every trained arm gets the same number of trials over its own search space.

    A trial is a training within the whole budget, with the tuning seed, scored on the validation split alone.
    """

    trials: Annotated[int, Field(ge=2)] = 6
    """Trials of each trained arm; the first is the recipe as it stands, where its search space holds it."""
    learning_rate: Literal["log"] | RangeSpec | Choices | None = "log"
    """Searched for every trained arm unless its own `search` says otherwise; `log`: by ratio, `factor` each way from
    the arm's own learning rate. `null`: only what the arms' `search` names."""
    factor: Annotated[float, Field(gt=1)] = 10.0
    """How far `learning_rate: log` goes each way."""
    choose_by: Literal["primary", "loss"] = "primary"
    """`primary`: the task's primary metric on validation. `loss`: validation loss, which needs no generation (a DPO arm
    is chosen by the primary metric all the same, as its objective is not that loss)."""
    examples: PositiveInt = 200
    """At most so many validation examples are answered by each trial; the same for all."""
    sampler: Literal["even", "tpe"] = "even"
    """`even`: an even grid through the recipe's own value, or a quasi-random sequence where several fields are
    searched. `tpe`: half of the trials so, the others one after another by Optuna's TPE."""
    seed: Annotated[int, Field(ge=0)] = 1000
    """Training seed of every trial and seed of the sampler; no seed of the experiment."""
    halving: bool = False
    """Successive halving: all trials with a ninth of the budget, the best third with a third, the best ninth in full.
    Cheaper and rougher: what is best on little training need not be best on much."""


class RacingSpec(Spec):
    """Stopping losers early: arms that are clearly behind at a share of the budget get no more of it.

    All seeds of an arm are trained to a rung, on the schedule of the whole budget, and scored on validation examples
    until pairs of arms are told apart or cannot be. What is left goes on to the next rung, the winners to the end and
    to the test split. A stopped arm is not ranked: racing answers which arm is best, not how good the others would be.
    """

    rungs: Annotated[list[Annotated[float, Field(gt=0, lt=1)]], Field(min_length=1)] = [0.125, 0.25, 0.5]
    """Shares of the budget at which arms are looked at, rising."""
    metric: Literal["primary", "loss"] = "primary"
    """`primary`: the task's primary metric, example by example. `loss`: nats a token of the right answer, which needs
    no generation and tells arms apart sooner; it can misrank arms whose primary metric does not follow it."""
    level: Annotated[float, Field(gt=0, le=0.2)] = 0.05
    """At most this share of races stops an arm that is not behind at that rung, over all pairs, rungs and looks.
    Whether the order at a rung is that of the end is covered by no level: see `lead`."""
    margin: Annotated[float, Field(ge=0)] | None = None
    """An arm is stopped when it is behind another by more than this; without it the winner rule's margin (of `loss`,
    which has another unit, 0)."""
    lead: Annotated[float, Field(ge=0)] | None = None
    """How much more than the margin an arm must be behind the earlier it is stopped: this times the share of the budget
    that is left. Without it a tenth of `clip`."""
    clip: Annotated[float, Field(gt=0)] | None = None
    """Differences of two arms on a group of examples count for at most this. Without it the range of the metric, of
    `loss` 0.5. A smaller one tells arms apart with fewer examples, and looks less at how large differences are."""
    least: Annotated[int, Field(ge=2)] = 16
    """Groups of validation examples before the first look."""
    examples: PositiveInt | None = None
    """Groups of validation examples scored at a rung at most; without it all there are, if it comes to that."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the order in which validation examples are scored."""

    @model_validator(mode="after")
    def _sound(self) -> RacingSpec:
        if any(late <= early for early, late in itertools.pairwise(self.rungs)):
            raise ValueError("rungs must rise")
        if self.clip is not None and (self.margin or 0.0) + (self.lead or 0.0) >= self.clip:
            raise ValueError("no difference can show what margin and lead ask for: clip must be larger than their sum")
        return self


class ServingSpec(Spec):
    """Serving figures, measured when all arms are scored: every arm once in each round, in shuffled order.

    Of a trained arm the lowest seed is measured. No part of any identity.
    """

    rounds: Annotated[int, Field(ge=2)] = 6
    """How often every arm is measured; from 6 on the range of the rounds is a 95 % interval of their median."""
    prompts: PositiveInt = 8
    """Prompts, of validation examples picked by a hash of their ids."""
    new_tokens: Annotated[int, Field(ge=2)] = 64
    """Tokens generated for each prompt: exactly so many, whatever the model would say, so that arms do equal work."""
    batches: PositiveInt = 64
    """Largest batch to try: it doubles from 1 until memory runs out or this is reached."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the order within the rounds."""


EXECUTORS = ("inline", "processes")


def _executor(name: str) -> str:
    if name not in EXECUTORS and plugins.find("harness.executors", name, EXECUTORS) is None:
        raise ValueError(f"{name!r} is not one of {', '.join(EXECUTORS)}")
    return name


class ResourcesSpec(Spec):
    """Where and how arms execute; not part of any identity."""

    executor: Annotated[str, AfterValidator(_executor)] = "inline"
    """`inline`: one warm process. `processes`: one process an arm. Or one that an installed package adds."""
    workers: PositiveInt | None = None
    """Processes at a time; without it one per accelerator, or one on a CPU."""
    threads: PositiveInt | None = None
    """Threads of a CPU worker; without it all cores inline, one in processes."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where models run; `auto`: on an accelerator where there is one."""
    batch_tokens: PositiveInt = 16384
    """Padded tokens of one scoring or generation batch."""
    checkpoint_seconds: Annotated[float, Field(gt=0)] = 60.0
    """How much work a killed training can lose."""
    price_per_device_hour: Annotated[float, Field(ge=0)] | None = None
    """What an hour of one device costs, in a currency of your own; the ledger then shows costs in it."""


class ExperimentSpec(Spec):
    """An experiment: one task, one base model, several arms under one budget."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")] | None = None
    """Name; without it the file's."""
    description: str = ""
    """One line for people."""
    task: FilePath
    """Task folder or file, relative to the working directory or to this file, or a stock task's name."""
    base_model: BaseModelSpec | str
    """Base model: a folder, a hub id, or the long form."""
    chat: ChatSpec = ChatSpec()
    """Whether and how prompts go through the chat template."""
    arms: Annotated[list[ArmSpec | SerializeAsAny[InstanceOf[ArmBase]] | str], Field(min_length=1)]
    """Arms: names of stock recipes, paths of arm files, or arms written out."""
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = [0]
    """Training seeds; a statement about a method needs at least three."""
    budget: BudgetSpec
    """What every trained arm is given."""
    stop_on: Literal["diverged", "not_a_number"] = "diverged"
    """When a training ends early, as `diverged`. A loss or gradient that is no number always ends it; `diverged`: also
    a loss that left for good (three times the first step's and 2 nats above it in the median of 8 steps, or 20 nats
    above it in one step). Spikes and rising validation loss end nothing: they are recorded and shown."""
    tuning: TuningSpec | None = None
    """Tuning of the trained arms; without it every arm is trained as its recipe says."""
    racing: RacingSpec | None = None
    """Stopping losers early, on validation; without it every arm is trained to the end. `{}`: as the defaults say."""
    data_fraction: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=1)] = [1.0]
    """Shares of the train split that trained arms are trained on, for a learning curve; the whole is always among
    them. The smaller lie within the larger, whole groups each; the budget is the same for all."""
    reference: str = "untrained"
    """The arm that others are compared with."""
    winner: WinnerSpec | None = None
    """The rule that names the winner; without it every difference matters, and the leaderboard says that no rule was
    declared."""
    serving: ServingSpec | None = None
    """Serving figures; without it none are measured by `harness run` (`harness serving` measures on demand). `{}`: as
    the defaults say."""
    keep: Literal["all", "best", "adapters", "none"] = "all"
    """Which trained weights stay on disk after scoring. `best`: those of the leading arm and of its parent. `adapters`:
    no full models. Predictions, scores and records always stay."""
    resources: ResourcesSpec = ResourcesSpec()
    """Where and how arms execute; no part of any identity."""

    @model_validator(mode="after")
    def _distinct(self) -> ExperimentSpec:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("seeds must be distinct")
        if self.racing is not None and self.budget.device_seconds is not None:
            raise ValueError("racing stops at shares of a budget of examples or tokens, not of device_seconds")
        return self

    @property
    def fractions(self) -> tuple[float, ...]:
        """Shares of the train split, the whole first, then falling."""
        return tuple(sorted({1.0, *self.data_fraction}, reverse=True))
