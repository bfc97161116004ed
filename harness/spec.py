"""What a person writes: tasks, arms and experiments, as frozen pydantic models.

Nothing here touches the disk: `load.py` turns YAML into these and adds file and line to every error.
Unknown fields are errors (`extra="forbid"`), so a typo never becomes a silent default.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator


class Spec(BaseModel):
    """Base of every spec: frozen, no unknown fields, documented fields, no silent type conversion of text."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, protected_namespaces=())


# --------------------------------------------------------------------------------------------------------- task


class SplitFiles(Spec):
    """Data that arrives already split; ids and groups are namespaced by the split's name."""

    train: str | list[str]
    """Path or glob (or several) of the training file, relative to the task file."""
    validation: str | list[str]
    """Path or glob of the validation file."""
    test: str | list[str]
    """Path or glob of the sealed test file."""


class DataSpec(Spec):
    """Where examples come from: exactly one of `path`, `files`, `hub` and `builder`."""

    path: str | list[str] | None = None
    """jsonl, csv or parquet file, a glob, or several, relative to the task file; we split."""
    files: SplitFiles | None = None
    """Files that keep the splits they came in."""
    hub: str | None = None
    """A Hugging Face data set id, or a local data set folder."""
    revision: str | None = None
    """Commit of the hub data set; pin it, or a change of data goes unseen until the fingerprint differs."""
    subset: str | None = None
    """Configuration name of the hub data set."""
    hub_split: str | None = None
    """Which hub split to read when the harness splits; without it train, validation and test are taken as they are."""
    builder: str | None = None
    """`file.py:function`, relative to the task file; called with `options`, yields rows."""
    options: dict[str, Any] = {}
    """Keyword options of the builder."""
    licence: str
    """Licence of the data, as an SPDX id or in words."""

    @model_validator(mode="after")
    def _one_source(self) -> DataSpec:
        given = [name for name in ("path", "files", "hub", "builder") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of path, files, hub and builder (found: {', '.join(given) or 'none'})")
        return self


class SplitsSpec(Spec):
    """How the harness splits: by a hash of salt and group, so that adding data moves nothing."""

    test: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of groups in the sealed test split."""
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of groups in the validation split."""
    salt: str = "1"
    """Change it to draw another split."""

    @model_validator(mode="after")
    def _leaves_train(self) -> SplitsSpec:
        if self.test + self.validation >= 1:
            raise ValueError("test and validation together leave nothing to train on")
        return self


class LeakageSpec(Spec):
    """What to do with text that stands on both sides of a split. Without it a leak stops the run."""

    drop: Literal["train"] | None = None
    """`train`: drop the leaking examples from the training (and validation) side, and record them."""
    allow: str | None = None
    """A reason why the leak is acceptable; it is shown with the results."""

    @model_validator(mode="after")
    def _one(self) -> LeakageSpec:
        if (self.drop is None) == (self.allow is None):
            raise ValueError("give either `drop: train` or `allow: REASON`")
        return self


class GenerateSpec(Spec):
    """How text is generated for the test split. Greedy: the comparison is of models, not of samplers."""

    max_new_tokens: PositiveInt = 128
    """Upper bound of generated tokens; answers that reach it are counted and shown."""
    stop: list[str] = []
    """Strings that end an answer besides the end-of-sequence token."""


class MetricsSpec(Spec):
    """What is measured; one primary metric decides."""

    primary: str
    """The metric that decides, by its name in METRICS."""
    also: list[str] = []
    """Metrics shown beside it."""


class LmEvalSpec(Spec):
    """lm-evaluation-harness tasks scored beside the task's own test split."""

    tasks: list[str]
    """Task names in lm-eval's own YAML."""
    include_path: str | None = None
    """Folder of local lm-eval YAML files, relative to the task file."""
    limit: PositiveInt | None = None
    """Score only the first so many documents."""


class RetentionSpec(Spec):
    """Text from before the fine-tuning, to see what it made the model forget."""

    path: str | None = None
    """jsonl with a `text` column, relative to the task file."""
    builder: str | None = None
    """`file.py:function` that yields rows with a `text` column."""
    options: dict[str, Any] = {}
    """Keyword options of the builder."""

    @model_validator(mode="after")
    def _one(self) -> RetentionSpec:
        if (self.path is None) == (self.builder is None):
            raise ValueError("give either path or builder")
        return self


class PreferencesSpec(Spec):
    """Preference pairs from columns of the task's own rows; rows without a rejected answer give none."""

    chosen: str
    """Template of the better answer."""
    rejected: str
    """Template of the worse answer; an empty result means that this row has no pair."""


class TaskSpec(Spec):
    """A task: data, prompt, sealed splits, metrics. One folder under `tasks/`, file `task.yaml`."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    """Name of the task: letters, digits, dash, dot and underscore."""
    version: PositiveInt = 1
    """Raise it when a change of this file makes results incomparable."""
    description: str = ""
    """One line for the leaderboard: what is asked, and whether the data is real."""
    data: DataSpec
    """Where examples come from."""
    id: str | None = None
    """Column that names an example; without it the hash of the row's content."""
    group: str | None = None
    """Column whose values never straddle splits (a patient, a module); without it each example is its own group."""
    system: str | None = None
    """System text for chat models; only with `prompt`."""
    prompt: str | None = None
    """Jinja2 template of the prompt, over the row's columns."""
    target: str | None = None
    """Jinja2 template of the right answer."""
    references: str | None = None
    """Column holding a list of right answers, where there are several; the first is trained on."""
    messages: str | None = None
    """Column holding a conversation ([{role, content}, …]) whose last turn is the assistant's target."""
    splits: SplitsSpec | None = None
    """How to split; not with data that came in split files."""
    leakage: LeakageSpec | None = None
    """What to do with leaks; without it they stop the run."""
    generate: GenerateSpec = GenerateSpec()
    """Generation settings."""
    metrics: MetricsSpec
    """What is measured."""
    facts: str | None = None
    """Column holding the facts of an example ([{slot, value}, …]), for the fact metrics."""
    lm_eval: LmEvalSpec | None = None
    """lm-eval tasks beside the task's own metrics."""
    retention: RetentionSpec | None = None
    """Text for measuring forgetting."""
    preferences: PreferencesSpec | None = None
    """Preference pairs for DPO and preference accuracy."""
    sensitive: bool = False
    """True: no text of an example leaves the store and the app."""

    @model_validator(mode="after")
    def _one_form(self) -> TaskSpec:
        if self.messages is not None:
            if self.prompt or self.target or self.system or self.references:
                raise ValueError("`messages` stands in place of prompt, target, system and references")
        elif self.prompt is None or (self.target is None) == (self.references is None):
            raise ValueError("give `messages`, or `prompt` with either `target` or `references`")
        if self.splits is not None and self.data.files is not None:
            raise ValueError("`splits` cannot be used with `data.files`: those keep the splits they came in")
        return self


# --------------------------------------------------------------------------------------------------------- arms


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


class DpoSpec(TrainedBase):
    """Direct preference optimisation (Rafailov et al. 2023), started from an SFT arm of the same seed."""

    method: Literal["dpo"]
    """`dpo`."""
    parent: str = "lora"
    """Name of the SFT arm it starts from and is regularised towards; its cost is added to this arm's."""
    pairs: Literal["task", "parent_samples"] = "task"
    """The task's preference pairs, or target against what the parent samples on train prompts (cost counted)."""
    beta: Annotated[float, Field(gt=0)] = 0.1
    """Strength of the pull towards the parent."""
    sft_weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the negative log-likelihood of the chosen answer added to the loss (RPO, Pang et al. 2024)."""
    examples: PositiveInt | None = None
    """Preference pairs seen; without it half of the experiment's budget."""


class ImportedSpec(ArmBase):
    """An adapter or a model folder trained elsewhere."""

    method: Literal["imported"]
    """`imported`."""
    path: str
    """PEFT adapter folder, or a full model folder (safetensors), relative to the file."""


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


ArmSpec = Annotated[
    UntrainedSpec | FewShotSpec | FullSpec | LoraArmSpec | QloraSpec | PeftSpec | DpoSpec | ImportedSpec | ToySpec,
    Field(discriminator="method"),
]
"""Every arm, told apart by `method`."""


# --------------------------------------------------------------------------------------------------- experiment


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
    keep: Literal["all", "best", "adapters", "none"] = "all"
    """Which artefacts stay on disk after scoring."""
    resources: ResourcesSpec = ResourcesSpec()
    """Where arms execute."""

    @model_validator(mode="after")
    def _distinct(self) -> ExperimentSpec:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("seeds must be distinct")
        return self
