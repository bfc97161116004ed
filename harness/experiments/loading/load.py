"""Loads tasks, arms and experiments from YAML, with every name resolved and every error on one line."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, cast, get_args

import harness
from harness import arms
from harness.config import (
    ArmBase,
    ArmSpec,
    BaseModelSpec,
    DpoSpec,
    ExperimentSpec,
    ImportedSpec,
    PairsFileSpec,
    TaskSpec,
    UntrainedSpec,
    templates,
)
from harness.config.documents import (
    Document,
    FieldPath,
    backslash_hint,
    list_names,
    nearest,
    read_document,
    shown,
    validate,
)
from harness.errors import SpecError, UsageError
from harness.experiments.loading.cross_checks import PROMPTED, check_arms
from harness.experiments.tuning import search
from harness.metrics import metric
from harness.metrics.external import is_own
from harness.records import ResolvedExperiment

METHODS: dict[str, type[ArmBase]] = {
    get_args(kind.model_fields["method"].annotation)[0]: kind for kind in get_args(get_args(ArmSpec)[0])
}
"""Method → the spec of its arms."""
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


def stock_folder() -> Path:
    """The folder that holds `tasks/` and `baselines/`: of an installed wheel, or the root of a clone."""
    package = Path(harness.__file__).resolve().parent
    installed = package / "stock"
    return installed if installed.is_dir() else package.parent


def stock_arms() -> dict[str, Path]:
    """Names and files of the stock arms."""
    return {file.stem: file for file in sorted((stock_folder() / "baselines" / "arms").glob("*.yaml"))}


def stock_tasks() -> dict[str, Path]:
    """Names and files of the stock tasks."""
    return {file.parent.name: file for file in sorted((stock_folder() / "tasks").glob("*/task.yaml"))}


# --------------------------------------------------------------------------------------------------------- tasks


def load_task(path: Path, known_metrics: Collection[str] | None = None) -> tuple[TaskSpec, Path]:
    """The task in `path` (a file, a folder with a task.yaml, or a stock task's name) and the folder it lies in.

    With `known_metrics` the names of its metrics are checked. Raises SpecError.
    """
    file = find_task(path, None)
    if file is None:
        raise SpecError("no such task", file=str(path), hint=nearest(path.name, stock_tasks()))
    document = read_document(file)
    task = validate(document, (), TaskSpec, document.value)
    templated: list[tuple[FieldPath, str | None]] = [(("prompt",), task.prompt), (("target",), task.target)]
    if task.preferences is not None:
        templated += [(("preferences", name), getattr(task.preferences, name)) for name in ("chosen", "rejected")]
    for field_path, template in templated:
        _check_template(document, field_path, template)
    if known_metrics is not None:
        names: list[tuple[FieldPath, str]] = [(("metrics", "primary"), task.metrics.primary)]
        names += [(("metrics", "also", number), name) for number, name in enumerate(task.metrics.also)]
        for field_path, name in names:
            if is_own(name):
                from harness.metrics.user_metrics import load_metric

                try:
                    load_metric(name, file.parent, sensitive=task.sensitive)
                except UsageError as error:
                    raise document.error(field_path, error.message, error.hint) from None
            elif name not in known_metrics:
                try:
                    metric(name)
                except UsageError as error:
                    said = error.message.replace("no metric is called", "unknown metric")
                    raise document.error(field_path, said, error.hint) from None
    for field, suite in (("lm_eval", task.lm_eval), ("retention", task.retention)):
        if suite is not None and suite.include_path is not None and not (file.parent / suite.include_path).is_dir():
            message = f"no such folder: {shown(file.parent / suite.include_path)}"
            raise document.error((field, "include_path"), message, "It is relative to the task file")
    return task, file.parent.resolve()


def find_task(path: Path, folder: Path | None) -> Path | None:
    """The task file that `path` means: from the working directory, from `folder`, or among the stock."""
    stock = stock_folder()
    folders = [Path(), *([folder] if folder else []), stock, stock / "tasks"]
    files = (file for folder in folders for file in (folder / path, folder / path / "task.yaml"))
    return next((file for file in files if file.is_file()), None)


def _check_template(document: Document, field_path: FieldPath, template: str | None) -> None:
    if template is None:
        return
    broken = templates.problem(template)
    if broken is not None:
        line = document.template_line(field_path, broken.line)
        field = ".".join(str(part) for part in field_path)
        raise SpecError(broken.message, file=shown(document.file), line=line, field=field)
    if not templates.names(template):
        column = template.strip() if template.strip().isidentifier() else "column"
        hint = f"A column is written {{{{ {column} }}}}"
        raise document.error(field_path, "this template names no column, so that every row has the same text", hint)


# ---------------------------------------------------------------------------------------------------------- arms


def load_arm(path: Path) -> ArmSpec:
    """The arm in file `path`, named by the file where it has no name. Raises SpecError."""
    document = read_document(path)
    return cast(ArmSpec, _arm(document, (), document.value, path.stem))


def _arm(document: Document, field_path: FieldPath, value: Mapping[str, Any], name: str | None) -> Any:
    """The arm written at `field_path`, with a name and absolute paths."""
    if "method" not in value:
        hint = f"Methods: {list_names(METHODS)}"
        raise document.error((*field_path, "method"), "this field is required and missing", hint)
    method = value["method"]
    spec = METHODS.get(method) or arms.plugin_spec(method) if isinstance(method, str) else None
    if spec is None:
        raise document.error((*field_path, "method"), f"unknown method {method!r}", nearest(str(method), METHODS))
    arm = validate(document, field_path, spec, value)
    if isinstance(arm, PROMPTED):
        _check_template(document, (*field_path, "prompt"), arm.prompt)
    try:
        search.check_search(cast(ArmSpec, arm), getattr(arm, "search", {}))
    except SpecError as error:
        raise document.error((*field_path, *error.field.split(".", 1)), error.reason, error.hint) from None
    changes: dict[str, Any] = {"name": arm.name or name or method}
    if isinstance(arm, ImportedSpec):
        changes["path"] = str(_existing(document, (*field_path, "path"), arm.path))
    if isinstance(arm, DpoSpec) and isinstance(arm.pairs, PairsFileSpec):
        pairs_file = _existing(document, (*field_path, "pairs", "path"), arm.pairs.path)
        changes["pairs"] = arm.pairs.model_copy(update={"path": str(pairs_file)})
    return arm.model_copy(update=changes)


def _existing(document: Document, field_path: FieldPath, path: str) -> Path:
    """`path` from the file's folder or from the working directory. Raises SpecError when it is in neither."""
    for folder in (document.file.parent, Path()):
        candidate = folder / Path(path).expanduser()
        if candidate.exists():
            return candidate.resolve()
    hint = backslash_hint(path, "It is relative to this file")
    raise document.error(field_path, f"no such file or folder: {path}", hint)


def _arms(document: Document, spec_value: Mapping[str, Any]) -> list[Any]:
    """Every arm of an experiment, resolved; unique names."""
    entries = spec_value.get("arms")
    if not isinstance(entries, list):
        return []  # the experiment's own validation says what is wrong
    arms: list[Any] = []
    lines: dict[str, FieldPath] = {}
    for number, entry in enumerate(entries):
        field_path = ("arms", number)
        if isinstance(entry, Mapping):
            arm = _arm(document, field_path, entry, None)
        elif isinstance(entry, str):
            arm = _named_arm(document, field_path, entry)
        else:
            raise document.error(field_path, "must be the name of a stock arm, a path, or an arm", "It has a `method`")
        if arm.name in lines:
            message = f"two arms are named {arm.name!r} (the other is arms[{lines[arm.name][1]}])"
            raise document.error(field_path, message, "Give one of them another `name`")
        lines[arm.name] = field_path
        arms.append(arm)
    return arms


def _named_arm(document: Document, field_path: FieldPath, entry: str) -> Any:
    stock = stock_arms()
    if entry in stock:
        return load_arm(stock[entry])
    if "/" in entry or entry.endswith((".yaml", ".yml")):
        for folder in (Path(), document.file.parent, stock_folder()):
            if (folder / entry).is_file():
                return load_arm(folder / entry)
        raise document.error(field_path, f"no such arm file: {entry}", "It is relative to this file")
    raise document.error(field_path, f"unknown stock arm {entry!r}", nearest(entry, stock))


# --------------------------------------------------------------------------------------------------- experiments


def load_experiment(path: Path, known_metrics: Collection[str] | None = None) -> ResolvedExperiment:
    """The experiment in `path` with its task read, its arms written out, and its paths absolute.

    `path` is looked for in the working directory, then among the stock files. An experiment without an untrained arm
    gets one. Raises SpecError.
    """
    file = find_experiment(path)
    if not file.exists():
        stock_files = [candidate.name for candidate in (stock_folder() / "baselines").glob("*.yaml")]
        raise SpecError("no such file", file=str(path), hint=nearest(path.name, stock_files))
    if file.is_dir():
        raise SpecError("this is a folder", file=str(path), hint="Name an experiment file")
    document = read_document(file)
    if "suite" in document.value:
        hint = "`harness run`, `harness check` and `harness suite` take it; name one of its experiments as SUITE.ITEM"
        raise document.error(("suite",), "this file is a suite of several experiments", hint)
    return resolve_experiment(document, known_metrics)


def recipe_notes(experiment: ResolvedExperiment) -> list[str]:
    """A note for each trained arm that is written out without a learning rate: it does not start from the stock arm."""
    notes = []
    for arm in experiment.arms:
        optimiser = getattr(arm, "optimiser", None)
        if optimiser is None or "learning_rate" in optimiser.model_fields_set:
            continue
        stock = stock_folder() / "baselines" / "arms" / f"{arm.method}.yaml"
        theirs = getattr(load_arm(stock), "optimiser", None) if stock.is_file() else None
        if theirs is not None and theirs.learning_rate != optimiser.learning_rate:
            notes.append(
                f"{arm.name} gives no learning rate and gets {optimiser.learning_rate:g}; the stock arm {arm.method}"
                f" has {theirs.learning_rate:g}, for the embedded base"
            )
    return notes


def find_experiment(path: Path) -> Path:
    """`path`, or the stock file of that name."""
    return path if path.exists() else stock_folder() / path


def resolve_experiment(document: Document, known_metrics: Collection[str] | None = None) -> ResolvedExperiment:
    """The experiment that `document` holds; see `load_experiment`."""
    file = document.file
    value = dict(document.value)
    arms = _arms(document, value)
    base = _base_model(document, value)
    if arms:
        value["arms"] = arms
    if base is not None:
        value["base_model"] = base
    spec = validate(document, (), ExperimentSpec, value)
    if base is None:
        raise document.error(("base_model",), "must be a folder, a hub id or a mapping")
    spec = spec.model_copy(update={"chat": _chat(document, spec)})
    task_file = find_task(Path(spec.task), file.parent)
    if task_file is None:
        raise document.error(("task",), f"no such task: {spec.task}", nearest(Path(spec.task).name, stock_tasks()))
    task, task_dir = load_task(task_file, known_metrics)
    # Toy arms stand for models without being any: beside nothing but toys there is no base to leave untrained.
    if not any(isinstance(arm, UntrainedSpec) for arm in arms) and not all(arm.method == "toy" for arm in arms):
        if any(arm.name == "untrained" for arm in arms):
            hint = "The experiment adds an untrained arm of that name; give this one another"
            raise document.error(("arms",), "an arm that is trained is named 'untrained'", hint)
        arms = [UntrainedSpec(method="untrained", name="untrained"), *arms]
    check_arms(document, spec, arms, task)
    name = spec.name or file.stem
    return ResolvedExperiment(name, file.resolve(), spec, task, task_dir, tuple(arms), base)


def _base_model(document: Document, value: Mapping[str, Any]) -> BaseModelSpec | None:
    """The base model with an absolute path, or a hub id; None where the field has the wrong type."""
    entry = value.get("base_model")
    if isinstance(entry, Mapping):
        base = validate(document, ("base_model",), BaseModelSpec, entry)
        field_path: FieldPath = ("base_model", "path")
    elif isinstance(entry, str):
        base = validate(document, ("base_model",), BaseModelSpec, {"path": entry})
        field_path = ("base_model",)
    else:
        return None
    model_path = Path(base.path).expanduser()
    folders = (Path(), document.file.parent, stock_folder())
    for folder in folders:
        if (folder / model_path).is_dir():
            return base.model_copy(update={"path": str((folder / model_path).resolve())})
    # A folder beside which there are others was meant as a folder; only what cannot be one is a hub id.
    parents = [folder / model_path.parent for folder in folders if model_path.parent != Path()]
    siblings = [child.name for parent in parents if parent.is_dir() for child in parent.iterdir() if child.is_dir()]
    if any(parent.is_dir() for parent in parents) or not _HUB_ID.fullmatch(base.path):
        hint = (
            nearest(model_path.name, siblings) if siblings else "Give a folder or a Hugging Face id such as name/model"
        )
        raise document.error(field_path, f"no such model folder: {base.path}", backslash_hint(base.path, hint))
    return base


def _chat(document: Document, spec: ExperimentSpec) -> Any:
    """The chat settings, a template's path replaced by the template."""
    template = spec.chat.template
    if template is None or "{" in template or "\n" in template:
        return spec.chat
    file = _existing(document, ("chat", "template"), template)
    return spec.chat.model_copy(update={"template": file.read_text(encoding="utf-8")})
