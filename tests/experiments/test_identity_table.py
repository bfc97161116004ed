"""The identity of a training, of what it leaves and of an evaluation: one row for each field that could move them.

A row says which hashes another value of the field moves: `t` train_id, `a` the artefact's hash, `e` eval_id. A field
without a row fails `test_every_field_has_a_row`, so that nobody adds one without deciding.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import platform
import typing
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from harness import environment
from harness.arms import artefacts, toy
from harness.config import ArmSpec, ExperimentSpec, Spec, TaskSpec
from harness.data.prepare import prepare
from harness.data.splits import training_share
from harness.experiments.evaluation import evaluate
from harness.experiments.running import plans
from harness.experiments.running.worker import read_training
from harness.records import Artefact, ResolvedExperiment, RunPlan, TaskFiles

CHAT = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
EXPERIMENT: dict[str, Any] = {
    "task": "task",
    "base_model": {"path": "none"},
    "chat": {"use": "always", "template": CHAT},
    "arms": [{"method": "toy", "name": "toy", "skill": 0.9, "learning_rate": 0.01}],
    "seeds": [0],
    "budget": {"examples": 10},
}
TASK: dict[str, Any] = {
    "name": "echo",
    "data": {"path": "rows.jsonl", "licence": "CC0-1.0"},
    "id": "id",
    "group": "group",
    "prompt": "Say: {{ words }}",
    "target": "{{ words }}",
    "leakage": {"drop": "train"},
    "metrics": {"primary": "exact_match"},
    "retention": {"path": "retention.jsonl"},
}

Row = tuple[Any, str] | tuple[Any, str, dict[str, Any]]
"""Another value, the hashes that it moves, and what its neighbours are: None beside this value alone, else always."""
SPECS: dict[str, tuple[str, dict[str, Row]]] = {
    "ExperimentSpec": ("experiment", {
        "name": ("another", ""),
        "description": ("of something", ""),
        "task": ("elsewhere", ""),  # what lies there is TaskSpec
        "base_model": ({"path": "elsewhere"}, ""),  # what lies there is RunPlan.base_hash
        "chat": ({"use": "never"}, "tae"),
        "arms": ([*EXPERIMENT["arms"], {"method": "untrained", "name": "untrained"}], ""),
        "seeds": ([7], "tae"),
        "budget": ({"examples": 11}, "t"),
        "stop_on": ("not_a_number", "t"),
        "tuning": ({}, ""),
        "racing": ({}, ""),
        "data_fraction": ([0.3], "t"),
        "reference": ("toy", ""),
        "winner": ({"margin": 0.1}, ""),
        "serving": ({}, ""),
        "keep": ("none", ""),
        "resources": ({"executor": "processes", "threads": 1, "batch_tokens": 7}, ""),
    }),
    "BaseModelSpec": ("experiment.base_model", {
        "path": ("elsewhere", ""),
        "revision": ("0123", ""),
        "dtype": ("bfloat16", "t"),
        "autocast": ("bfloat16", "t"),
        "attention": ("eager", "t"),
        "context": (77, "te"),
    }),
    "ChatSpec": ("experiment.chat", {
        "use": ("auto", "t"),
        "system": ("Be brief.", "tae"),
        "template": (CHAT + " ", "tae"),
        "kwargs": ({"enable_thinking": False}, "tae"),
        "date": ("2024-07-26", "t"),  # of a template that writes today's date, the prompts too
    }),
    "BudgetSpec": ("experiment.budget", {
        "examples": (11, "t"),
        "tokens": (10, "t", {"examples": None}),
        "device_seconds": (10, "t", {"examples": None}),
    }),
    "ResourcesSpec": ("experiment.resources", {
        "executor": ("processes", ""),
        "workers": (2, ""),
        "threads": (2, ""),
        "device": ("cpu", ""),
        "batch_tokens": (100, ""),
        "checkpoint_seconds": (1.0, ""),
        "price_per_device_hour": (1.0, ""),
    }),
    "TaskSpec": ("task", {
        "name": ("other", ""),
        "version": (2, ""),
        "description": ("of something", ""),
        "data": ({"path": "fewer.jsonl", "licence": "CC0-1.0"}, "te"),
        "id": ("number", "te"),
        "group": ("number", "te"),
        "system": ("Be brief.", "te"),
        "prompt": ("Repeat: {{ words }}", "te"),
        "target": ("{{ words }} and {{ words }}", "tae"),  # a toy learns how many words an answer has
        "references": ("many", "te", {"target": None}),
        "messages": ("turns", "te", {"prompt": None, "target": None}),
        "special_tokens": ("text", "te"),
        "allow_unreachable": ("so", ""),
        "splits": ({"salt": "2"}, "te"),
        "leakage": ({"allow": "so"}, ""),
        "generate": ({"max_new_tokens": 7}, "e"),
        "metrics": ({"primary": "rouge_l"}, ""),
        "facts": ("facts", ""),
        "lm_eval": ({"tasks": ["own"], "include_path": "lm"}, "e"),
        "retention": (None, "e"),
        "preferences": ({"chosen": "{{ words }}", "rejected": "no"}, "te"),
        "review": ({"flags": ["fabrication"]}, ""),
        "sensitive": (True, ""),
    }),
    "DataSpec": ("task.data", {
        "path": ("fewer.jsonl", "te"),
        "files": ({side: f"{side}.jsonl" for side in ("train", "validation", "test")}, "te", {"path": None}),
        "revision": ("0123", ""),
        "subset": ("a", ""),
        "hub_split": ("train", ""),
        "builder": ("build.py:build", "te", {"path": None}),
        "options": ({"count": 40}, "te", {"builder": "build.py:build"}),
        "licence": ("MIT", ""),
    }),
    "SplitsSpec": ("task.splits", {
        "test": (0.5, "te"),
        "validation": (0.3, "t"),
        "salt": ("2", "te"),
    }),
    "GenerateSpec": ("task.generate", {"max_new_tokens": (7, "e"), "stop": (["."], "e")}),
    "LmEvalSpec": ("task.lm_eval", {
        "tasks": (["own", "second"], "e", {"tasks": ["own"], "include_path": "lm"}),
        "include_path": ("lm2", "e", {"tasks": ["own"], "include_path": "lm"}),
        "limit": (3, "e", {"tasks": ["own"], "include_path": "lm"}),
        "num_fewshot": (2, "e", {"tasks": ["own"], "include_path": "lm"}),
        "apply_chat_template": (True, "e", {"tasks": ["own"], "include_path": "lm"}),
    }),
    "RetentionSpec": ("task.retention", {
        "path": ("other_retention.jsonl", "e"),
        "builder": ("build.py:texts", "e", {"path": None}),
        "options": ({"count": 4}, "e", {"builder": "build.py:texts"}),
        "lm_eval": (["own"], "e", {"include_path": "lm"}),
        "include_path": ("lm2", "e", {"lm_eval": ["own"], "include_path": "lm"}),
        "limit": (3, "e", {"lm_eval": ["own"], "include_path": "lm"}),
        "num_fewshot": (2, "e", {"lm_eval": ["own"], "include_path": "lm"}),
        "apply_chat_template": (True, "e", {"lm_eval": ["own"], "include_path": "lm"}),
    }),
    "PreferencesSpec": ("task.preferences", {
        "chosen": ("yes", "te", {"chosen": "{{ words }}", "rejected": "no"}),
        "rejected": ("never", "te", {"chosen": "{{ words }}", "rejected": "no"}),
    }),
}  # fmt: skip
"""Class of a spec → where it stands, and its rows."""
WHOLE = {
    "WinnerSpec": "no part of any identity",
    "TuningSpec": "no part of any identity: a trial's own settings are those of its arm",
    "RacingSpec": "no part of any identity",
    "ServingSpec": "no part of any identity",
    "ArmBase": "what arms of installed packages are; their fields count as those of ours do",
    "MetricsSpec": "no part of any identity: scores of other metrics are added",
    "ReviewSpec": "no part of any identity",
    "PracticeSpec": "no part of any identity",
    "LeakageSpec": "moves what the splits hold, where there is a leak",
    "SplitFiles": "paths; what they hold is DataSpec.files",
    "RangeSpec": "what tuning searches is no part of any identity",
}
"""Specs whose fields count, or do not, with the field that holds them."""
UNTRIED = {"DataSpec.hub": "read from a hub; what it gives counts as the rows of a file do"}
OPTIMISER: dict[str, Row] = {
    "learning_rate": (0.5, "t"),
    "schedule": ("linear", "t"),
    "warmup": (0.5, "t"),
    "batch_size": (3, "t"),
    "micro_batch_size": (1, "t"),
    "weight_decay": (0.5, "t"),
    "max_grad_norm": (0.5, "t"),
}
LORA: dict[str, Row] = {"r": (3, "t"), "alpha": (3, "t"), "dropout": (0.5, "t"), "target_modules": (["q_proj"], "t")}
TRAINED: dict[str, Row] = {
    "name": ("another", ""),
    "optimiser": ({"learning_rate": 0.5}, "t"),
    "evaluations": (9, "t"),
    "search": ({"learning_rate": [0.1, 0.2]}, ""),
}
PROMPTED: dict[str, Row] = {"name": ("another", ""), "prompt": ("{{ words }}?", "t")}
ARMS: dict[str, tuple[dict[str, Any], dict[str, Row]]] = {
    "UntrainedSpec": ({"method": "untrained"}, PROMPTED),
    "FewShotSpec": ({"method": "few_shot"}, {**PROMPTED, "k": (1, "t")}),
    "FullSpec": ({"method": "full"}, TRAINED),
    "LoraArmSpec": ({"method": "lora"}, {**TRAINED, "lora": ({"r": 3}, "t")}),
    "QloraSpec": (
        {"method": "qlora"}, {**TRAINED, "lora": ({"r": 3}, "t"), "quantisation": ({"type": "fp4"}, "t")}
    ),
    "PeftSpec": ({"method": "peft", "type": "IA3"}, {**TRAINED, "type": ("LORA", "t"), "config": ({"r": 3}, "t")}),
    "DpoSpec": ({"method": "dpo"}, {
        **TRAINED,
        "parent": ("full", "t"),
        "pairs": ("parent_samples", "t"),
        "beta": (0.5, "t"),
        "sft_weight": (0.5, "t"),
        "examples": (3, "t"),
    }),
    "SftContinuedSpec": ({"method": "sft_continued"}, {
        **TRAINED, "parent": ("full", "t"), "like": ("other", "t"), "examples": (3, "t")
    }),
    "ImportedSpec": ({"method": "imported", "path": "adapter"}, {"name": ("another", ""), "path": ("other", "t")}),
    "EndpointSpec": ({"method": "endpoint", "url": "http://localhost/v1", "model": "m"}, {
        **PROMPTED,
        "url": ("http://localhost/v2", "t"),
        "model": ("n", "t"),
        "api": ("chat", "t"),
        "key_env": ("KEY", ""),
        "timeout": (1.0, ""),
        "retries": (1, ""),
        "concurrency": (1, ""),
    }),
    "ToySpec": ({"method": "toy"}, {
        "name": ("another", ""),
        "skill": (0.1, "t"),
        "fail": ("oom", "t"),
        "seconds": (0.1, "t"),
        "learning_rate": (0.1, "t"),
        "best_rate": (0.1, "t"),
        "half_data": (1.0, "t"),
        "search": ({"learning_rate": [0.1, 0.2]}, ""),
        "serves": (3, "t"),
        "token_seconds": (0.1, "t"),
    }),
    "OptimiserSpec": ({"method": "full", "optimiser": {}}, OPTIMISER),
    "LoraSpec": ({"method": "lora", "lora": {}}, LORA),
    "QuantSpec": ({"method": "qlora", "quantisation": {}}, {"type": ("fp4", "t"), "double": (False, "t")}),
    "PairsFileSpec": ({"method": "dpo", "pairs": {"path": "pairs.jsonl"}}, {"path": ("other_pairs.jsonl", "t")}),
}  # fmt: skip
"""Class of an arm, or of a part of it → an arm, and its rows. What an arm leaves is its training's affair."""
PLAN: dict[str, Row] = {
    "experiment": (None, ""),  # rows of its own
    "arm": (None, ""),
    "files": (None, ""),
    "arm_name": ("another", ""),
    "seed": (7, "t"),
    "train_id": ("another", ""),
    "parent_train_id": ("parent", "t"),
    "home": (Path("elsewhere"), ""),
    "base_hash": ("another", "tae"),
    "device": ("cuda", "e"),
    "threads": (7, ""),
    "role": ("trial", ""),
    "fraction": (0.5, "t"),
    "trial": ({"number": 1}, ""),
    "rung": (None, ""),  # a rung's evaluations are kept apart by their folder
    "rescore": (True, ""),
}
FILES: dict[str, Row] = {
    "folder": (Path("elsewhere"), ""),
    "sealed": (Path("elsewhere"), ""),
    "fingerprint": ("another", "t"),
    "suite_fingerprint": ("another", "e"),
}
ARTEFACT: dict[str, Row] = {
    "kind": ("adapter", "ae"),
    "base_path": ("elsewhere", ""),
    "base_hash": ("another", "ae"),
    "path": ("elsewhere", ""),
    "files_hash": ("another", "ae"),
    "quantisation": ({"type": "nf4"}, "ae"),
    "chat_template_hash": ("another", "ae"),
    "prefix_hash": ("another", "ae"),
    "hash": (None, ""),  # made of the others
}
PACKAGES = {
    **dict.fromkeys(("torch", "transformers", "tokenizers", "peft", "bitsandbytes", "lm_eval"), "e"),
    **dict.fromkeys(("trl", "accelerate", "datasets", "evaluate", "rouge-score", "sacrebleu"), ""),
    **dict.fromkeys(("duckdb", "streamlit", "numpy"), ""),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every file that a row names."""
    folder = tmp_path_factory.mktemp("identity")

    def lines(name: str, rows: list[dict[str, Any]]) -> None:
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))

    rows = []
    for number in range(1, 61):
        words = f"{number * 7919} {number * 104729} {number * 31}"
        turns = [{"role": "user", "content": f"Say: {words}"}, {"role": "assistant", "content": words}]
        rows.append({"id": f"e{number}", "group": f"g{number // 2}", "number": number, "words": words})
        rows[-1] |= {"many": [words, "or so"], "turns": turns, "facts": [{"slot": "a", "value": "b"}]}
    lines("rows.jsonl", rows)
    lines("fewer.jsonl", rows[:50])
    lines("train.jsonl", rows[:30])
    lines("validation.jsonl", rows[30:40])
    lines("test.jsonl", rows[40:])
    lines("retention.jsonl", [{"text": f"old text {number}"} for number in range(5)])
    lines("other_retention.jsonl", [{"text": f"new text {number}"} for number in range(5)])
    for name in ("pairs", "other_pairs"):
        lines(f"{name}.jsonl", [{"prompt": "a", "chosen": name, "rejected": "c"}])
    for name in ("adapter", "other"):
        (folder / name).mkdir()
        (folder / name / "weights").write_text(name)
    for name in ("lm", "lm2"):
        (folder / name).mkdir()
        for task in ("own", "second"):
            (folder / name / f"{task}.yaml").write_text(f"task: {task}\n# DATA_FILE {name}\n")
    (folder / "build.py").write_text(
        "import json, pathlib\nrows = pathlib.Path(__file__).with_name('rows.jsonl').read_text().splitlines()\n"
        "def build(count=55):\n    return [json.loads(row) for row in rows[:count]]\n"
        "def texts(count=3):\n    return [{'text': f'built {n}'} for n in range(count)]\n"
    )
    return folder


def plan_of(folder: Path, experiment: dict[str, Any], task: dict[str, Any]) -> RunPlan:
    """The plan of the first arm with the first seed and the smallest share of data."""
    spec = ExperimentSpec.model_validate(experiment)
    arms = tuple(TypeAdapter(ArmSpec).validate_python(arm) for arm in experiment["arms"])
    resolved = ResolvedExperiment(
        spec.name or "x", folder / "x.yaml", spec, TaskSpec.model_validate(task), folder, arms, spec.base_model
    )
    files = prepare(resolved, folder / "home").files
    planner = plans.Planner(files, folder / "home", "base")
    return planner.plan(resolved, arms[0], plans.TrainingDraw(spec.seeds[0], None, spec.fractions[-1]))


def left_by(plan: RunPlan) -> Artefact:
    """What the toy of a plan leaves."""
    data = training_share(read_training(plan.files.folder), plan.fraction)
    return toy.train(plan, data, lambda phase, done, total: None).artefact


def moved(before: tuple[str, str, str], after: tuple[str, str, str]) -> str:
    return "".join(name for name, one, other in zip("tae", before, after, strict=True) if one != other)


def hashes(plan: RunPlan, artefact: Artefact) -> tuple[str, str, str]:
    return plan.train_id, artefact.hash, evaluate.identity(plan, artefact)


def changed(document: dict[str, Any], path: list[str], values: dict[str, Any]) -> dict[str, Any]:
    """A copy with other values in the mapping at `path`."""
    result = copy.deepcopy(document)
    inner = result
    for name in path:
        inner = inner.setdefault(name, {})
    inner |= values
    return result


def arm_plan(folder: Path, monkeypatch: pytest.MonkeyPatch, document: dict[str, Any]) -> str:
    """The train_id of an arm; a file or folder that it names lies in `folder`."""
    monkeypatch.chdir(folder)
    arms = [*EXPERIMENT["arms"], {"method": "dpo", "name": "dpo"}, {"method": "dpo", "name": "other", "examples": 4}]
    plan = plan_of(folder, {**EXPERIMENT, "arms": arms}, TASK)
    arm = TypeAdapter(ArmSpec).validate_python(document)
    experiment = dataclasses.replace(plan.experiment, arms=tuple(map(TypeAdapter(ArmSpec).validate_python, arms)))
    return plans.Planner(plan.files, folder, "base").identity(experiment, arm, plans.TrainingDraw(0, "parent"))


def all_rows(table: dict[str, tuple[Any, dict[str, Row]]]) -> list[Any]:
    return [pytest.param(kind, field, id=f"{kind}.{field}") for kind, (_, rows) in table.items() for field in rows]


@pytest.mark.parametrize(("kind", "field"), all_rows(SPECS))
def test_a_field_of_experiment_or_task(folder: Path, kind: str, field: str) -> None:
    place, rows = SPECS[kind]
    value, moves, *others = rows[field]
    root, *path = place.split(".")
    documents = {"experiment": EXPERIMENT, "task": TASK}
    beside = others[0] if others else {}
    always = {name: other for name, other in beside.items() if other is not None}
    always |= {"path": None} if "builder" in always else {}
    run_plans = []
    for values in (always, always | beside | {field: value}):
        mine = documents | {root: changed(documents[root], path, values) if values else documents[root]}
        run_plans.append(plan_of(folder, mine["experiment"], mine["task"]))
    assert moved(*(hashes(plan, left_by(plan)) for plan in run_plans)) == moves


@pytest.mark.parametrize(("kind", "field"), all_rows(ARMS))
def test_a_field_of_an_arm(folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str, field: str) -> None:
    arm, rows = ARMS[kind]
    value, moves = rows[field][:2]
    path = [name for name, part in arm.items() if isinstance(part, dict)]
    one, other = (arm_plan(folder, monkeypatch, mine) for mine in (arm, changed(arm, path, {field: value})))
    assert ("t" if one != other else "") == moves


@pytest.fixture(scope="module")
def plan(folder: Path) -> RunPlan:
    return plan_of(folder, EXPERIMENT, TASK)


def identities(plan: RunPlan) -> tuple[str, str, str]:
    """Train_id, artefact and eval_id that a plan's own fields give."""
    draw = plans.TrainingDraw(plan.seed, plan.parent_train_id, plan.fraction)
    train_id = plans.Planner(plan.files, plan.home, plan.base_hash).identity(plan.experiment, plan.arm, draw)
    artefact = artefacts.describe(plan, "base", None, "")
    return train_id, artefact.hash, evaluate.identity(plan, artefact)


@pytest.mark.parametrize("field", PLAN)
def test_a_field_of_a_plan(plan: RunPlan, field: str) -> None:
    value, moves = PLAN[field][:2]
    other = plan if value is None else dataclasses.replace(plan, **{field: value})
    assert moved(identities(plan), identities(other)) == moves


@pytest.mark.parametrize("field", FILES)
def test_a_field_of_the_prepared_task(plan: RunPlan, field: str) -> None:
    value, moves = FILES[field][:2]
    other = dataclasses.replace(plan, files=dataclasses.replace(plan.files, **{field: value}))
    assert moved(identities(plan), identities(other)) == moves


@pytest.mark.parametrize("field", [name for name in ARTEFACT if name != "hash"])
def test_a_field_of_an_artefact(plan: RunPlan, folder: Path, monkeypatch: pytest.MonkeyPatch, field: str) -> None:
    value, moves = ARTEFACT[field][:2]

    def described(**fields: Any) -> Artefact:
        own = {"kind": "base", "quantisation": None, "chat_template_hash": "", "prefix_hash": "", **fields}
        base = dataclasses.replace(
            plan.experiment, base=plan.experiment.base.model_copy(update={"path": own.pop("base_path", "none")})
        )
        mine = dataclasses.replace(plan, experiment=base, base_hash=own.pop("base_hash", "base"))
        content = own.pop("files_hash", "files")
        monkeypatch.setattr(artefacts, "files_hash", lambda _: content)
        return artefacts.describe(mine, folder=mine.run_folder / own.pop("path", "artefact"), **own)

    one, other = described(), described(**{field: value})
    assert getattr(one, field) != getattr(other, field)
    assert moved(hashes(plan, one), hashes(plan, other)) == moves


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_of_the_environment(plan: RunPlan, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    found = []
    for version in ("1", "2"):
        installed = dict.fromkeys(PACKAGES, "1") | {name: version}
        monkeypatch.setattr(environment, "packages", lambda installed=installed: installed)
        found.append(identities(plan))
    assert moved(*found) == PACKAGES[name]


def test_python_moves_an_evaluation_and_a_servers_environment_is_its_own(
    plan: RunPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = TypeAdapter(ArmSpec).validate_python({"method": "endpoint", "url": "http://localhost/v1", "model": "m"})
    asked = dataclasses.replace(plan, arm=served)
    before, remote = identities(plan), identities(asked)
    monkeypatch.setattr(platform, "python_version", lambda: "4.0")
    assert moved(before, identities(plan)) == "e"
    assert identities(dataclasses.replace(asked, device="cuda")) == remote


@pytest.mark.parametrize(
    ("method", "moves"), [("untrained", True), ("full", True), ("toy", False), ("endpoint", False)]
)
@pytest.mark.parametrize(("field", "value"), [("dtype", "bfloat16"), ("attention", "eager")])
def test_the_same_weights_in_another_precision_are_scored_anew(
    plan: RunPlan, method: str, moves: bool, field: str, value: str
) -> None:
    own = {"endpoint": {"url": "http://localhost/v1", "model": "m"}}.get(method, {})
    plan = dataclasses.replace(plan, arm=TypeAdapter(ArmSpec).validate_python({"method": method, "name": "x", **own}))
    artefact = artefacts.describe(plan, "base", None, "")
    base = plan.experiment.base.model_copy(update={field: value})
    other = dataclasses.replace(plan, experiment=dataclasses.replace(plan.experiment, base=base))
    assert (evaluate.identity(plan, artefact) != evaluate.identity(other, artefact)) == moves


def specs(kind: Any) -> set[type[Spec]]:
    """Classes of specs that stand in an annotation, and in their fields."""
    if isinstance(kind, type) and issubclass(kind, Spec):
        inner = [field.annotation for field in kind.model_fields.values()]
        return {kind}.union(*map(specs, inner))
    return set[type[Spec]]().union(*map(specs, typing.get_args(kind)))


def test_every_field_has_a_row() -> None:
    tables = {kind: rows for table in (SPECS, ARMS) for kind, (_, rows) in table.items()}
    classes = {kind.__name__: kind for kind in specs(ExperimentSpec) | specs(TaskSpec) | specs(ArmSpec)}
    assert tables.keys() | WHOLE.keys() == classes.keys()
    fixed = {f"{kind}.method" for kind in ARMS}
    fields = {f"{kind}.{field}" for kind in tables for field in classes[kind].model_fields} - fixed - UNTRIED.keys()
    assert {f"{kind}.{field}" for kind, rows in tables.items() for field in rows} == fields
    for record, rows in ((RunPlan, PLAN), (TaskFiles, FILES), (Artefact, ARTEFACT)):
        assert rows.keys() == {field.name for field in dataclasses.fields(record)}
    assert PACKAGES.keys() == set(environment.PACKAGES)
