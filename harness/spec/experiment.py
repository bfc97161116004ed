"""An experiment: one task, one base model, several arms under one budget."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, model_validator

from harness.spec.arms import ArmSpec
from harness.spec.base import Spec

WinnerCost = Literal["train_seconds", "total_seconds", "peak_memory_bytes", "trainable_parameters", "adapter_bytes"]
"""Costs that a winner rule can name: training, or preparation, training and scoring together; peak memory; parameters
that were trained; bytes of what training left."""


class BaseModelSpec(Spec):
    """The base model that every arm starts from."""

    path: str
    """Local folder (relative to the file) or a Hugging Face id."""
    revision: str | None = None
    """Commit of a hub model."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Data type of weights and training."""
    attention: Literal["auto", "eager", "sdpa", "flash_attention_2"] = "auto"
    """Attention implementation."""
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


class ResourcesSpec(Spec):
    """Where and how arms execute; not part of any identity."""

    executor: Literal["inline", "processes"] = "inline"
    """`inline`: one warm process. `processes`: one process an arm."""
    workers: PositiveInt | None = None
    """Processes at a time; without it one per accelerator, or one on a CPU."""
    threads: PositiveInt | None = None
    """Threads of a CPU worker; without it all cores inline, one in processes."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Accelerator."""
    batch_tokens: PositiveInt = 16384
    """Padded tokens of one scoring or generation batch."""
    checkpoint_seconds: Annotated[float, Field(gt=0)] = 60.0
    """How much work a killed training can lose."""
    price_per_device_hour: Annotated[float, Field(ge=0)] | None = None
    """Price of one hour of one device, in any currency; without it nothing is said about money."""


class ExperimentSpec(Spec):
    """An experiment: one task, one base model, several arms under one budget."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")] | None = None
    """Name; without it the file's."""
    description: str = ""
    """One line for people."""
    task: str
    """Task folder or file, relative to the working directory or to this file, or a stock task's name."""
    base_model: BaseModelSpec | str
    """Base model: a folder, a hub id, or the long form."""
    chat: ChatSpec = ChatSpec()
    """Chat template."""
    arms: Annotated[list[ArmSpec | str], Field(min_length=1)]
    """Arms: names of stock recipes, paths of arm files, or arms written out."""
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = [0]
    """Training seeds; a statement about a method needs at least three."""
    budget: BudgetSpec
    """What every trained arm is given."""
    reference: str = "untrained"
    """The arm that others are compared with."""
    winner: WinnerSpec | None = None
    """The rule that names the winner; without it every difference matters, and the leaderboard says that no rule was
    declared."""
    keep: Literal["all", "best", "adapters", "none"] = "all"
    """Which artefacts stay on disk after scoring."""
    resources: ResourcesSpec = ResourcesSpec()
    """Where arms execute."""

    @model_validator(mode="after")
    def _distinct(self) -> ExperimentSpec:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("seeds must be distinct")
        return self
