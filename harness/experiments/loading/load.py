"""YAML files → specs: tasks, arms and experiments, with every name resolved and every complaint on one line.

`check` is what `harness check` calls: it validates a file or a folder of files, and reads a task's data as well.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args

import harness
from harness import arms, redaction
from harness.config import (
    ArmBase,
    ArmSpec,
    BaseModelSpec,
    DpoSpec,
    ExperimentSpec,
    GateSpec,
    ImportedSpec,
    PairsFileSpec,
    TaskSpec,
    UntrainedSpec,
    templates,
)
from harness.config.documents import Document, FieldPath, list_names, nearest, read_document, shown, validate
from harness.errors import DataError, SpecError, UsageError
from harness.experiments.loading.checks import PROMPTED, check_arms
from harness.experiments.tuning import search
from harness.metrics import plugin
from harness.metrics.elsewhere import is_own
from harness.records import Example, ResolvedExperiment

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
    file = _task_file(path, None)
    if file is None:
        raise SpecError("no such task", file=str(path), hint=nearest(path.name, stock_tasks()))
    document = read_document(file)
    task = validate(document, (), TaskSpec, document.value)
    templated: list[tuple[FieldPath, str | None]] = [(("prompt",), task.prompt), (("target",), task.target)]
    if task.preferences is not None:
        templated += [(("preferences", name), getattr(task.preferences, name)) for name in ("chosen", "rejected")]
    for place, template in templated:
        _check_template(document, place, template)
    if known_metrics is not None:
        names: list[tuple[FieldPath, str]] = [(("metrics", "primary"), task.metrics.primary)]
        names += [(("metrics", "also", number), name) for number, name in enumerate(task.metrics.also)]
        for place, name in names:
            if is_own(name):
                _check_own_metric(document, place, name, task.sensitive)
            elif name not in known_metrics and "/" not in name and plugin(name) is None:  # TASK/METRIC is lm-eval's
                raise document.error(place, f"unknown metric {name!r}", nearest(name, known_metrics))
    for field, suite in (("lm_eval", task.lm_eval), ("retention", task.retention)):
        if suite is not None and suite.include_path is not None and not (file.parent / suite.include_path).is_dir():
            message = f"no such folder: {shown(file.parent / suite.include_path)}"
            raise document.error((field, "include_path"), message, "It is relative to the task file")
    return task, file.parent.resolve()


def _check_own_metric(document: Document, place: FieldPath, name: str, sensitive: bool) -> None:
    """That a user's own metric can be loaded from beside the task."""
    from harness.metrics.own import load_metric

    try:
        load_metric(name, document.file.parent, sensitive=sensitive)
    except UsageError as error:
        raise document.error(place, error.message, error.hint) from None


def _task_file(path: Path, beside: Path | None) -> Path | None:
    """The task file that `path` means: from the working directory, from the folder `beside`, or among the stock."""
    stock = stock_folder()
    places = [Path(), *([beside] if beside else []), stock, stock / "tasks"]
    for place in places:
        found = place / path
        if found.is_file():
            return found
        if (found / "task.yaml").is_file():
            return found / "task.yaml"
    return None


def _check_template(document: Document, place: FieldPath, template: str | None) -> None:
    broken = templates.problem(template) if template is not None else None
    if broken is not None:
        line = document.template_line(place, broken.line)
        field = ".".join(str(part) for part in place)
        raise SpecError(broken.message, file=shown(document.file), line=line, field=field)


# ---------------------------------------------------------------------------------------------------------- arms


def load_arm(path: Path) -> ArmSpec:
    """The arm in file `path`, named by the file where it has no name. Raises SpecError."""
    document = read_document(path)
    return cast(ArmSpec, _arm(document, (), document.value, path.stem))


def _arm(document: Document, place: FieldPath, value: Mapping[str, Any], name: str | None) -> Any:
    """The arm written at `place`, with a name and absolute paths."""
    if "method" not in value:
        hint = f"Methods: {list_names(METHODS)}"
        raise document.error((*place, "method"), "this field is required and missing", hint)
    method = value["method"]
    spec = METHODS.get(method) or arms.plugin_spec(method) if isinstance(method, str) else None
    if spec is None:
        hint = nearest(str(method), METHODS)
        raise document.error((*place, "method"), f"unknown method {method!r}", hint)
    arm = validate(document, place, spec, value)
    if isinstance(arm, PROMPTED):
        _check_template(document, (*place, "prompt"), arm.prompt)
    try:
        search.check_search(cast(ArmSpec, arm), getattr(arm, "search", {}))
    except SpecError as error:
        raise document.error((*place, *error.field.split(".", 1)), error.reason, error.hint) from None
    changes: dict[str, Any] = {"name": arm.name or name or method}
    if isinstance(arm, ImportedSpec):
        changes["path"] = str(_existing(document, (*place, "path"), arm.path))
    if isinstance(arm, DpoSpec) and isinstance(arm.pairs, PairsFileSpec):
        found = _existing(document, (*place, "pairs", "path"), arm.pairs.path)
        changes["pairs"] = arm.pairs.model_copy(update={"path": str(found)})
    return arm.model_copy(update=changes)


def _existing(document: Document, place: FieldPath, path: str) -> Path:
    """`path` from the file's folder or from the working directory. Raises SpecError when it is in neither."""
    for folder in (document.file.parent, Path()):
        found = folder / Path(path).expanduser()
        if found.exists():
            return found.resolve()
    raise document.error(place, f"no such file or folder: {path}", "It is relative to this file")


def _arms(document: Document, spec_value: Mapping[str, Any]) -> list[Any]:
    """Every arm of an experiment, resolved; unique names."""
    entries = spec_value.get("arms")
    if not isinstance(entries, list):
        return []  # the experiment's own validation says what is wrong
    arms: list[Any] = []
    lines: dict[str, FieldPath] = {}
    for number, entry in enumerate(entries):
        place = ("arms", number)
        if isinstance(entry, Mapping):
            arm = _arm(document, place, entry, None)
        elif isinstance(entry, str):
            arm = _named_arm(document, place, entry)
        else:
            raise document.error(place, "must be the name of a stock arm, a path, or an arm", "It has a `method`")
        if arm.name in lines:
            message = f"two arms are named {arm.name!r} (the other is arms[{lines[arm.name][1]}])"
            raise document.error(place, message, "Give one of them another `name`")
        lines[arm.name] = place
        arms.append(arm)
    return arms


def _named_arm(document: Document, place: FieldPath, entry: str) -> Any:
    stock = stock_arms()
    if entry in stock:
        return load_arm(stock[entry])
    looks_like_path = "/" in entry or entry.endswith((".yaml", ".yml"))
    if looks_like_path:
        for folder in (Path(), document.file.parent, stock_folder()):
            if (folder / entry).is_file():
                return load_arm(folder / entry)
        raise document.error(place, f"no such arm file: {entry}", "It is relative to this file")
    hint = nearest(entry, stock)
    raise document.error(place, f"unknown stock arm {entry!r}", hint)


# --------------------------------------------------------------------------------------------------- experiments


def load_experiment(path: Path, known_metrics: Collection[str] | None = None) -> ResolvedExperiment:
    """The experiment in `path` with its task read, its arms written out, and its paths absolute.

    `path` is looked for in the working directory, then among the stock files. An experiment without an untrained arm
    gets one. Raises SpecError.
    """
    file = find_experiment(path)
    if not file.exists():
        known = [found.name for found in (stock_folder() / "baselines").glob("*.yaml")]
        raise SpecError("no such file", file=str(path), hint=nearest(path.name, known))
    if file.is_dir():
        raise SpecError("this is a folder", file=str(path), hint="Name an experiment file")
    document = read_document(file)
    if "suite" in document.value:
        hint = "`harness run`, `harness check` and `harness suite` take it; name one of its experiments as SUITE.ITEM"
        raise document.error(("suite",), "this file is a suite of several experiments", hint)
    return resolve_experiment(document, known_metrics)


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
    task_file = _task_file(Path(spec.task), file.parent)
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
    given = value.get("base_model")
    if isinstance(given, Mapping):
        base = validate(document, ("base_model",), BaseModelSpec, given)
        place: FieldPath = ("base_model", "path")
    elif isinstance(given, str):
        base, place = BaseModelSpec(path=given), ("base_model",)
    else:
        return None
    wanted = Path(base.path).expanduser()
    folders = (Path(), document.file.parent, stock_folder())
    for folder in folders:
        if (folder / wanted).is_dir():
            return base.model_copy(update={"path": str((folder / wanted).resolve())})
    # A folder beside which there are others was meant as a folder; only what cannot be one is a hub id.
    parents = [folder / wanted.parent for folder in folders if wanted.parent != Path()]
    siblings = [child.name for parent in parents if parent.is_dir() for child in parent.iterdir() if child.is_dir()]
    if any(parent.is_dir() for parent in parents) or not _HUB_ID.fullmatch(base.path):
        hint = nearest(wanted.name, siblings) if siblings else "Give a folder or a Hugging Face id such as name/model"
        raise document.error(place, f"no such model folder: {base.path}", hint)
    return base


def _chat(document: Document, spec: ExperimentSpec) -> Any:
    """The chat settings, a template's path replaced by the template."""
    template = spec.chat.template
    if template is None or "{" in template or "\n" in template:
        return spec.chat
    file = _existing(document, ("chat", "template"), template)
    return spec.chat.model_copy(update={"template": file.read_text(encoding="utf-8")})


# --------------------------------------------------------------------------------------------------------- check


def check(path: Path, known_metrics: Collection[str] | None = None, data: bool = True) -> list[str]:
    """Validate a task, arm or experiment file, or every one below a folder; one line for each.

    With `data` a task's rows are read too: columns, templates, splits, leaks. Files of lm-eval (below a folder
    `lm_eval`) and hidden folders are left out. Raises the first HarnessError.
    """
    if not path.exists():
        stocked = _task_file(path, None) or stock_folder() / path
        if not stocked.exists():
            raise SpecError("no such file or folder", file=str(path), hint="Check the path")
        path = stocked
    if path.is_file():
        return [_check_file(path, known_metrics, data)]
    if (path / "task.yaml").is_file():
        return [_check_file(path / "task.yaml", known_metrics, data)]
    files = sorted(file for pattern in ("*.yaml", "*.yml") for file in path.rglob(pattern))
    inside = [file for file in files if not _left_out(file.relative_to(path))]
    if not inside:
        raise SpecError("no YAML file below this folder", file=shown(path), hint="Name a task, arm or experiment")
    return [_check_file(file, known_metrics, data) for file in inside]


def _left_out(file: Path) -> bool:
    return any(part.startswith(".") or part in ("lm_eval", "node_modules", "site-packages") for part in file.parts)


def _check_file(file: Path, known_metrics: Collection[str] | None, data: bool) -> str:
    document = read_document(file)
    kind = _kind(document)
    if kind == "gates":
        gates = validate(document, (), GateSpec, document.value)
        return f"{shown(file)}: gates with {len(gates.rules)} rules against {gates.baseline}"
    if kind == "arm":
        arm = load_arm(file)
        return f"{shown(file)}: arm {arm.name} ({arm.method})"
    if kind == "experiment" and "suite" in document.value:
        from harness.experiments.loading.suites import load_suite

        listed = "; ".join(f"{one.name} on task {one.task.name}" for one in load_suite(file, known_metrics))
        return f"{shown(file)}: suite: {listed}"
    if kind == "experiment":
        found = load_experiment(file, known_metrics)
        arms = ", ".join(str(arm.name) for arm in found.arms)
        return f"{shown(file)}: experiment {found.name} on task {found.task.name}: {arms}"
    task, folder = load_task(file, known_metrics)
    return f"{shown(file)}: task {task.name}" + (f": {_check_data(task, folder)}" if data else "")


def is_gates(file: Path) -> bool:
    """Whether a YAML file holds the rules of a gate."""
    return _kind(read_document(file)) == "gates"


def _kind(document: Document) -> str:
    """What a file is, from the fields it has, so that a typo in one of them does not hide it."""
    fields = set(document.value)
    if "method" in fields:
        return "arm"
    scores = {
        "task": len(fields & set(TaskSpec.model_fields)) + (document.file.name == "task.yaml"),
        "experiment": len(fields & set(ExperimentSpec.model_fields)),
        "arm": len(fields & {name for kind in METHODS.values() for name in kind.model_fields}),
        "gates": len(fields & set(GateSpec.model_fields)),
    }
    best = max(scores, key=lambda name: scores[name])
    if not scores[best]:
        raise document.error((), "neither a task nor an arm nor an experiment", "An arm has `method`, a task `data`")
    return best


def _check_data(task: TaskSpec, folder: Path) -> str:
    with redaction.texts(task.sensitive):
        return _data_line(task, folder)


def _data_line(task: TaskSpec, folder: Path) -> str:
    from harness.data.examples import read_examples, read_retention
    from harness.data.splits import heldout_pairs, leak_line, split_source, training_view

    source = read_examples(task, folder)
    splits = split_source(source, task.splits, task.leakage)
    try:
        retention = read_retention(task, folder)
    except DataError as error:
        raise DataError(f"retention: {error.message}", hint=error.hint) from None
    parts = [
        f"{len(source.examples)} examples",
        f"{len(splits.train)} train, {len(splits.validation)} validation, {len(splits.test)} test",
    ]
    if source.pairs:
        train_pairs = training_view(source, splits).pairs
        parts.append(f"{len(train_pairs)} train and {len(heldout_pairs(source, splits))} held-out preference pairs")
    if retention:
        parts.append(f"{len(retention)} retention texts")
    own = _try_own_metrics(task, folder, source.examples)
    if own:
        parts.append(f"own metrics {', '.join(own)}")
    if splits.merged:
        parts.append(f"{sum(len(groups) for groups in splits.merged)} groups joined by near-duplicates")
    if splits.leaks:
        what = "dropped" if task.leakage and task.leakage.drop else "allowed"
        parts.append(f"{len(splits.leaks)} leaking pairs {what}")
    found = "; ".join([*parts, *source.notes, f"fingerprint {splits.fingerprint}"])
    return "\n  ".join([found, *map(leak_line, splits.leaks)])


def _try_own_metrics(task: TaskSpec, folder: Path, examples: Sequence[Example]) -> list[str]:
    """Call the task's own metrics on three examples with the right answer for the prediction; their names."""
    from harness.metrics.kinds import Answer
    from harness.metrics.own import load_own, try_out

    own = load_own([task.metrics.primary, *task.metrics.also], folder, sensitive=task.sensitive)
    chosen = examples[:3] if own else ()
    try_out(own, [Answer(e.references[0], e.references, None, "stop", e.id, e.fields) for e in chosen])
    return list(own)
