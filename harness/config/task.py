"""A task: data, prompt, sealed splits, metrics."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from harness.config.documents import FilePath, Spec


class SplitFiles(Spec):
    """Data that arrives already split; ids and groups are namespaced by the split's name."""

    train: FilePath | list[FilePath]
    """Path or glob (or several) of the training file, relative to the task file."""
    validation: FilePath | list[FilePath]
    """Path or glob of the validation file."""
    test: FilePath | list[FilePath]
    """Path or glob of the sealed test file."""


class DataSpec(Spec):
    """Where examples come from: exactly one of `path`, `files`, `hub` and `builder`."""

    path: FilePath | list[FilePath] | None = None
    """jsonl, csv or parquet file, a glob, or several, relative to the task file; the harness splits."""
    files: SplitFiles | None = None
    """Files that keep the splits they came in."""
    hub: FilePath | None = None
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
    """The metric that decides: a built-in name, lm-eval's TASK/METRIC, or a function of your own, file.py:function."""
    also: list[str] = []
    """Metrics shown beside it, named alike."""


class LmEvalOptions(Spec):
    """How tasks of lm-evaluation-harness are put to a model."""

    include_path: FilePath | None = None
    """Folder of local lm-eval YAML files, relative to the task file."""
    limit: PositiveInt | None = None
    """Score only the first so many documents of each lm-eval task."""
    num_fewshot: NonNegativeInt | None = None
    """Solved examples before each document, as `lm_eval --num_fewshot`; without it what each task's YAML says."""
    apply_chat_template: bool = False
    """Documents are turns of a chat, few-shot examples earlier ones, as with `lm_eval --apply_chat_template`, by the
    experiment's chat settings; else bare text, which a model that was tuned on a chat template may not understand."""

    @model_serializer(mode="wrap")
    def _only_what_is_set(self, written: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # The fields of later versions stand in a record only where they say something: identities stay what they were.
        later = {"num_fewshot": None, "apply_chat_template": False}
        return {name: value for name, value in written(self).items() if name not in later or value != later[name]}


class LmEvalSpec(LmEvalOptions):
    """lm-evaluation-harness tasks scored beside the task's own test split."""

    tasks: list[str]
    """Names of tasks, groups and tags in lm-eval's own YAML."""


class RetentionSpec(LmEvalOptions):
    """What the model could do before the fine-tuning, to see what it forgets: text, lm-eval tasks, or both."""

    path: FilePath | None = None
    """jsonl with a `text` column, relative to the task file."""
    builder: str | None = None
    """`file.py:function` that yields rows with a `text` column."""
    options: dict[str, Any] = {}
    """Keyword options of the builder."""
    lm_eval: list[str] = []
    """lm-eval tasks of skills that should stay; scored before (untrained) and after."""

    @model_validator(mode="after")
    def _one(self) -> RetentionSpec:
        given = (self.path is not None) + (self.builder is not None)
        if given > 1 or not (given or self.lm_eval):
            raise ValueError("give either path or builder, lm_eval, or one of the first two with lm_eval")
        return self

    @property
    def tasks(self) -> LmEvalSpec | None:
        """The lm-eval tasks as a suite of their own; None without any."""
        if not self.lm_eval:
            return None
        return LmEvalSpec(tasks=self.lm_eval, **{name: getattr(self, name) for name in LmEvalOptions.model_fields})


class PreferencesSpec(Spec):
    """Preference pairs from columns of the task's own rows; rows without a rejected answer give none."""

    chosen: str
    """Template of the better answer."""
    rejected: str
    """Template of the worse answer; an empty result means that this row has no pair."""


class PracticeSpec(Spec):
    """A first item of a review that is not counted."""

    prompt: str
    """What the two answers are to."""
    left: str
    """The left answer."""
    right: str
    """The right answer."""
    answer: Literal["left", "right", "tie", "both_bad"]
    """What most people would choose."""
    why: str
    """Why, in a sentence; shown after the choice."""


class ReviewSpec(Spec):
    """How people judge answers to this task, side by side and blind."""

    instructions: str | None = None
    """What a reviewer reads first, in plain words; without it a general text."""
    criteria: list[str] = []
    """Asked beside the overall choice, for example correctness and style."""
    flags: list[str] = []
    """What either answer may be flagged for, for example fabrication, omission, dangerous."""
    render: Literal["text", "code"] = "text"
    """How answers are shown."""
    practice: PracticeSpec | None = None
    """An item to practise on."""
    question: str | None = None
    """The closing question: which of two answers is by the first arm. Names no arm."""


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
    special_tokens: Literal["text", "control"] | None = None
    """What the text of a special token of the model (`<|endoftext|>`) is that stands in the data: `text` to be read
    like any other, or `control` where the data is formatted already. Without it such an example is refused."""
    allow_unreachable: str | None = None
    """A reason why it is acceptable that some right answers cannot be given in full by this model, or do not get the
    best value of the primary metric themselves; without it they stop the run. It is shown with the results."""
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
    review: ReviewSpec | None = None
    """Instructions, criteria and flags of blind review."""
    sensitive: bool = False
    """True: no text or id of an example leaves the home folder and the app, in messages neither."""

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
