"""Arms: the ways to get a candidate from a base model."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from harness.config.documents import FilePath, Spec

Setting = float | int | str | bool
"""A value that a searched field may take."""


class RangeSpec(Spec):
    """A range of numbers that tuning searches."""

    low: float
    """Smallest value."""
    high: float
    """Largest value."""
    log: bool = False
    """Spread values evenly by ratio, not by difference."""

    @model_validator(mode="after")
    def _ordered(self) -> RangeSpec:
        if self.low >= self.high:
            raise ValueError("low must be less than high")
        if self.log and self.low <= 0:
            raise ValueError("with `log: true` low must be greater than 0")
        return self


Choices = Annotated[list[Setting], Field(min_length=2)]
"""The values that tuning may choose from."""
Search = dict[str, RangeSpec | Choices]
"""Field → its range or its choices. A field of `optimiser` or `lora` goes by its own name, one of a peft arm's config
as `config.NAME`."""


class OptimiserSpec(Spec):
    """AdamW with a schedule; `batch_size` is the effective batch of one optimiser step."""

    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    """Peak learning rate."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """Shape after warm-up."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.03
    """Share of steps spent warming up."""
    batch_size: PositiveInt = 8
    """Examples of one optimiser step."""
    micro_batch_size: PositiveInt | None = None
    """Examples of one forward pass; without it the whole batch. Gradients are accumulated up to `batch_size`."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """AdamW's decoupled weight decay."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    """Gradient clipping."""


class LoraSpec(Spec):
    """Low-rank adapters (Hu et al. 2021) through peft."""

    r: PositiveInt = 16
    """Rank."""
    alpha: Annotated[float, Field(gt=0)] = 32
    """Scale: the update is multiplied by alpha / r."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout on the adapter's input."""
    target_modules: str | list[str] = "all-linear"
    """Which linear layers get an adapter."""


class QuantSpec(Spec):
    """Quantisation of the frozen base for QLoRA (Dettmers et al. 2023) through bitsandbytes."""

    type: Literal["nf4", "fp4"] = "nf4"
    """4-bit data type."""
    double: bool = True
    """Quantise the quantisation constants too."""


class ArmBase(Spec):
    """Fields of every arm."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")] | None = None
    """Name on the leaderboard; without it the file's name, or the method."""


class UntrainedSpec(ArmBase):
    """The base model as it is."""

    method: Literal["untrained"]
    """`untrained`."""
    prompt: str | None = None
    """Another prompt template than the task's: an untrained model may need more words."""


class FewShotSpec(ArmBase):
    """The base model with k worked examples from the train split before the prompt."""

    method: Literal["few_shot"]
    """`few_shot`."""
    k: PositiveInt = 3
    """Number of examples; fewer are used (and counted) where they do not fit the context."""
    prompt: str | None = None
    """Another prompt template than the task's."""


class TrainedBase(ArmBase):
    """Fields of every trained arm."""

    optimiser: OptimiserSpec = OptimiserSpec()
    """Optimiser and batch."""
    evaluations: PositiveInt = 4
    """How many times validation loss is measured during training."""
    search: Search = {}
    """What tuning searches for this arm, beside (or in place of) the experiment's `tuning.learning_rate`."""


class FullSpec(TrainedBase):
    """Full fine-tuning: every parameter is trained."""

    method: Literal["full"]
    """`full`; never inferred from a missing adapter section."""


class LoraArmSpec(TrainedBase):
    """LoRA."""

    method: Literal["lora"]
    """`lora`."""
    lora: LoraSpec = LoraSpec()
    """The adapter."""


class QloraSpec(TrainedBase):
    """LoRA over a base quantised to 4 bits."""

    method: Literal["qlora"]
    """`qlora`."""
    lora: LoraSpec = LoraSpec()
    """The adapter."""
    quantisation: QuantSpec = QuantSpec()
    """How the base is quantised."""


class PeftSpec(TrainedBase):
    """Any adapter that peft knows, by its PeftType and fields (DoRA, IA3, prefix tuning, …)."""

    method: Literal["peft"]
    """`peft`."""
    type: str
    """PeftType, for example LORA, IA3, PREFIX_TUNING, PROMPT_TUNING."""
    config: dict[str, Any] = {}
    """Fields of that PeftConfig."""


class ContinuedBase(TrainedBase):
    """Fields of an arm that is trained on from another arm of the same seed."""

    parent: str = "lora"
    """Name of the SFT arm it starts from; that arm's cost is added to this one's."""


class PairsFileSpec(Spec):
    """Preference pairs of their own: what reviewers preferred, or anything else in TRL's form."""

    path: FilePath
    """jsonl with `prompt`, `chosen` and `rejected`, relative to the file; its content is part of the arm's identity."""


class DpoSpec(ContinuedBase):
    """Direct preference optimisation (Rafailov et al. 2023), started from and regularised towards its parent."""

    method: Literal["dpo"]
    """`dpo`."""
    pairs: Literal["task", "parent_samples"] | PairsFileSpec = "task"
    """The task's preference pairs, target against what the parent samples on train prompts (cost counted), or a file:
    `{path: preferences.jsonl}`."""
    beta: Annotated[float, Field(gt=0)] = 0.1
    """Strength of the pull towards the parent."""
    sft_weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the negative log-likelihood of the chosen answer added to the loss (RPO, Pang et al. 2024)."""
    examples: PositiveInt | None = None
    """Preference pairs seen; without it half of the experiment's budget."""


class SftContinuedSpec(ContinuedBase):
    """The control of a DPO arm: its whole budget spent on more supervised fine-tuning of the same parent.

    It goes on in the data where the parent stopped, until it has seen as many tokens as the DPO arm, which sees two
    sequences a pair (chosen and rejected). Where the pairs are sampled from the parent their tokens are not known
    beforehand: then it sees two examples a pair.
    """

    method: Literal["sft_continued"]
    """`sft_continued`."""
    like: str = "dpo"
    """Name of the DPO arm whose budget it is given; both start from the same parent."""
    examples: PositiveInt | None = None
    """Examples seen in place of what the DPO arm is given; `like` then plays no part."""


class ImportedSpec(ArmBase):
    """An adapter or a model folder trained elsewhere."""

    method: Literal["imported"]
    """`imported`."""
    path: FilePath
    """PEFT adapter folder, or a full model folder (safetensors), relative to the file."""


class EndpointSpec(ArmBase):
    """A model behind an OpenAI-compatible URL, asked greedily with the same prompts as every other arm."""

    method: Literal["endpoint"]
    """`endpoint`."""
    url: str
    """Base of the server's paths, for example http://127.0.0.1:8000/v1; holds no secret."""
    model: str
    """Name by which the server knows the model."""
    api: Literal["completions", "chat"] = "completions"
    """`completions`: the rendered text to URL/completions. `chat`: the turns to URL/chat/completions."""
    key_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """Name of the environment variable that holds the key; the key itself is stored nowhere."""
    timeout: Annotated[float, Field(gt=0)] = 120.0
    """Seconds until an unanswered request counts as failed."""
    retries: NonNegativeInt = 3
    """How often a request is sent again after a broken connection, a timeout, 429 or 5xx, waiting longer each time."""
    concurrency: PositiveInt = 4
    """Requests under way at a time."""
    prompt: str | None = None
    """Another prompt template than the task's."""

    @field_validator("url")
    @classmethod
    def _plain_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("give an http or https URL, such as http://127.0.0.1:8000/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("give the URL without user, password, query and fragment; name a key in key_env")
        bare = url.rstrip("/")
        if bare.endswith("/completions"):
            raise ValueError("give the part before /completions or /chat/completions, and say which in api")
        return bare


class ToySpec(ArmBase):
    """A model that needs no torch, for tests of everything around the models."""

    method: Literal["toy"]
    """`toy`."""
    skill: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of test answers it gets right."""
    fail: Literal["none", "error", "oom", "diverged", "cancelled"] = "none"
    """Make its training end like this."""
    seconds: Annotated[float, Field(ge=0)] = 0.0
    """How long it pretends to train, in steps of 10 ms."""
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    """With it the toy counts as trained: it takes seeds and budget, and can be tuned. `skill` is then its skill at
    `best_rate`; it falls by exp(-x²) at x powers of ten from there, and training diverges above 100 times it."""
    best_rate: Annotated[float, Field(gt=0)] = 1e-2
    """The learning rate at which `skill` is reached."""
    half_data: Annotated[float, Field(ge=0)] = 0.0
    """Train examples that bring half of the skill: it grows with n train examples by n / (n + half_data)."""
    search: Search = {}
    """What tuning searches for this arm."""
    serves: PositiveInt | None = None
    """Rows of the largest batch that fits when its serving figures are measured; without it any does."""
    token_seconds: Annotated[float, Field(ge=0)] = 0.0
    """How long a token takes then, whatever the batch."""


ArmSpec = Annotated[
    UntrainedSpec
    | FewShotSpec
    | FullSpec
    | LoraArmSpec
    | QloraSpec
    | PeftSpec
    | DpoSpec
    | SftContinuedSpec
    | ImportedSpec
    | EndpointSpec
    | ToySpec,
    Field(discriminator="method"),
]
"""Every arm, told apart by `method`."""
