"""Every way in which a file that a person writes can be wrong, and the one line that says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, strategies as st

from harness.config import DpoSpec, LoraArmSpec, UntrainedSpec
from harness.config.documents import read_document
from harness.errors import HarnessError, SpecError
from harness.experiments.loading.check import check
from harness.experiments.loading.load import load_arm, load_experiment, load_task, stock_arms, stock_folder

EXPERIMENT = """\
# an experiment made by a test
task: notes
base_model: base
arms:
  - untrained
  - method: lora
    optimiser: {learning_rate: 2e-4}
  - {method: dpo, parent: lora, pairs: parent_samples}
seeds: [0, 1]
budget: {examples: 100}
"""


def complaint(act: Callable[[], object]) -> str:
    """The message of the error, which must be one line and a user's error."""
    with pytest.raises(HarnessError) as caught:
        act()
    assert caught.value.exit_code == 2
    text = str(caught.value)
    assert "\n" not in text and len(text) < 400
    return text


# -------------------------------------------------------------------------------------------------------- tasks


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("group: patient", "grup: patient", "notes/task.yaml:5: grup: unknown field. Did you mean 'group'?"),
        (
            "{primary: rouge_l, also: [bleu]}",
            "{primary: rouge_l, aslo: [bleu]}",
            "notes/task.yaml:12: metrics.aslo: unknown field. Did you mean 'also'?",
        ),
        (
            "data: {path: data.jsonl, licence: CC0-1.0}",
            "data: {path: data.jsonl, zzz: 1, licence: CC0-1.0}",
            "notes/task.yaml:3: data.zzz: unknown field. Fields here: path, files, hub, revision, subset, hub_split, "
            "builder, options, licence",
        ),
        ("test: 0.3", "test: '0.3'", "notes/task.yaml:11: splits.test: must be a number, found text '0.3'"),
        ("test: 0.3", "test: 1.5", "notes/task.yaml:11: splits.test: must be less than 1, found 1.5"),
        ("test: 0.3", "test: true", "notes/task.yaml:11: splits.test: must be a number, found true"),
        ("test: 0.3", "test: .inf", "notes/task.yaml:11: splits.test: .inf is not a finite number"),
        (
            "{test: 0.3, validation: 0.2, salt: s}",
            "{test: 0.6, validation: 0.4, salt: s}",
            "notes/task.yaml:11: splits: test and validation together leave nothing to train on",
        ),
        ("id: key", "id: [key]", "notes/task.yaml:4: id: must be text, found a list"),
        ("path: data.jsonl", "path: 5", "notes/task.yaml:3: data.path: must be text or a list, found the number 5"),
        ("path: data.jsonl", "path: [a, 5]", "notes/task.yaml:3: data.path[1]: must be text, found the number 5"),
        ("name: notes", "name: my notes", "notes/task.yaml:2: name: 'my notes' is no name. Use letters"),
        (", licence: CC0-1.0", "", "notes/task.yaml:3: data.licence: this field is required and missing. Licence of"),
        ("path: data.jsonl, ", "", "notes/task.yaml:3: data: give exactly one of path, files, hub and builder (found:"),
        ("id: key", "name: key", "notes/task.yaml:4: name: given twice (first on line 2). Keep one of the two"),
        ("id: key", "id: *key", "notes/task.yaml:4: broken YAML: found undefined alias 'key'"),
        ("id: key", "id: !!python/name:os key", "notes/task.yaml:4: id: the tag tag:yaml.org,2002:python/name:os is"),
        ("id: key", "id: 'key", "notes/task.yaml:13: broken YAML: while scanning a quoted scalar"),
        ("id: key", "id: {a: b", "broken YAML: while parsing a flow mapping"),
        ("id: key", "? [a]\n: b", "notes/task.yaml:4: a field's name must be text"),
        ("id: key", "leakage: {drop: test}", "leakage.drop: text 'test' is not one of train"),
        ("id: key", "leakage: {}", "notes/task.yaml:4: leakage: give either `drop: train` or `allow: REASON`"),
        ('target: "{{ note }}"', "", "notes/task.yaml:2: give `messages`, or `prompt` with either `target` or"),
        ("  {{ talk }}", "  {{ talk", "notes/task.yaml:9: prompt: broken template: "),
        ("  {{ talk }}", "  {{ talk | shout }}", "notes/task.yaml:9: prompt: broken template: No filter named 'shout'"),
        (
            "  {{ talk }}",
            "  {{ talk.__class__ }}",
            "notes/task.yaml:9: prompt: the template reaches for Python internals ('__class__'), which is refused",
        ),
        ("  {{ talk }}", "  {% include 'x' %}", "notes/task.yaml:9: prompt: templates cannot include or import files"),
        ("rouge_l, also", "rogue_l, also", "metrics.primary: unknown metric 'rogue_l'. Did you mean 'rouge_l'?"),
        ("also: [bleu]", "also: [blue]", "notes/task.yaml:12: metrics.also[0]: unknown metric 'blue'. Did you mean 'b"),
        ("id: key", "lm_eval: {tasks: [a], include_path: no}", "lm_eval.include_path: no such folder: notes/no. It is"),
    ],
)  # fmt: skip
def test_task_complaints(make_task: Callable[..., Path], old: str, new: str, message: str) -> None:
    path = make_task({old: new})
    assert message in complaint(lambda: load_task(path, {"rouge_l", "bleu"}))


def test_task_without_fault(make_task: Callable[..., Path]) -> None:
    task, folder = load_task(make_task(), {"rouge_l", "bleu"})
    assert (task.name, task.prompt, folder.name) == ("notes", "Write the note.\n\n{{ talk }}\n", "notes")
    assert load_task(Path("notes/task.yaml")) == (task, folder)
    assert load_task(Path("docstrings"))[0].name == "docstrings"


def test_missing_and_unreadable_files(here: Path) -> None:
    assert complaint(lambda: load_task(Path("docstring"))) == "docstring: no such task. Did you mean 'docstrings'?"
    assert complaint(lambda: check(Path("nowhere"))) == "nowhere: no such file or folder. Check the path"
    assert complaint(lambda: load_experiment(Path("visit_note.yaml"))).startswith("visit_note.yaml: no such file. Did")
    cases = {
        "empty.yaml": (b"# nothing\n", "empty.yaml:1: the file is empty. Write a task, an arm or an experiment"),
        "latin.yaml": ("name: é".encode("latin-1"), "latin.yaml: not UTF-8 text"),
        "control.yaml": (b"a: 1\nb: \x00\n", "control.yaml:2: broken YAML: special characters are not allowed"),
        "list.yaml": (b"- a\n", "list.yaml:1: must be a mapping of fields, found a list"),
        "two.yaml": (b"a: 1\n---\nb: 1\n", "two.yaml:2: broken YAML: expected a single document"),
        "deep.yaml": (b"a: " + b"[" * 20000, "deep.yaml: broken YAML: nested too deeply"),
        "self.yaml": (b"a: &a [*a]\n", "self.yaml:1: a[0]: aliases make this file endless"),
        "bomb.yaml": (
            b"a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
            + b"".join(b"a%d: &a%d [%s]\n" % (n, n, b",".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, 12)),
            "aliases make this file endless",
        ),
        "digits.yaml": (b"a: " + b"9" * 5000, "digits.yaml:1: a: '9999"),
        "other.yaml": (b"colour: red\n", "other.yaml:1: neither a task nor an arm nor an experiment. An arm has"),
    }
    for name, (content, message) in cases.items():
        (here / name).write_bytes(content)
        assert message in complaint(lambda name=name: check(Path(name)))  # type: ignore[misc]


def test_scalars_follow_yaml_1_2(here: Path) -> None:
    text = "{a: 1e-4, b: 2.0e-4, c: on, d: no, e: 012, f: 0x1f, g: 2001-01-01, h: 1:30, i: ~, j: true, k: .5, l: '5'}"
    (here / "x.yaml").write_text(text)
    assert read_document(Path("x.yaml")).value == {
        "a": 1e-4, "b": 2e-4, "c": "on", "d": "no", "e": 12, "f": 31, "g": "2001-01-01", "h": "1:30", "i": None,
        "j": True, "k": 0.5, "l": "5",
    }  # fmt: skip


def test_lines_of_fields_items_and_blocks(here: Path) -> None:
    (here / "x.yaml").write_text("# comment\na:\n  - b\n  - c: 1\n    d: |\n      text\n      {{ broken\n")
    document = read_document(Path("x.yaml"))
    assert document.line(("a",)) == 2 and document.line(("a", 1)) == 4 and document.line(("a", 1, "d")) == 5
    assert document.line(("a", 1, "missing")) == 4 and document.line(("missing",)) == 2
    assert document.template_line(("a", 1, "d"), 2) == 7


@given(st.text(max_size=60))
@example("a: b: c")
@example("? ")
@example("&a *a")
@example("!!float x")
@example("%YAML 9.9\n---\na: 1")
@example("<<: {a: 1}")
def test_any_text_gives_a_document_or_one_line(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_text(text, encoding="utf-8", errors="replace")
    try:
        assert isinstance(read_document(file).value, dict)
    except SpecError as error:
        assert "\n" not in str(error) and "any.yaml" in str(error)


# --------------------------------------------------------------------------------------------------------- arms


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("method: lroa", "arm.yaml:1: method: unknown method 'lroa'. Did you mean 'lora'?"),
        ("method: 5", "arm.yaml:1: method: unknown method 5"),
        ("lora: {r: 4}", "arm.yaml:1: method: this field is required and missing. Methods: untrained, few_shot, full"),
        ("method: lora\nlora:\n  rank: 4", "arm.yaml:3: lora.rank: unknown field. Fields here: r, alpha, dropout"),
        ("method: lora\nlora: {r: 4.5}", "arm.yaml:2: lora.r: must be a whole number, found the number 4.5"),
        ("method: lora\nlora:", "arm.yaml:2: lora: must be a mapping of fields, found nothing"),
        ("method: full\nlora: {r: 4}", "arm.yaml:2: lora: unknown field."),
        (
            "method: full\noptimiser: {schedule: cosin}",
            "arm.yaml:2: optimiser.schedule: text 'cosin' is not one of cosine, linear, constant. Did you mean 'cosine",
        ),
        ("method: full\noptimiser: {learning_rate: 0}", "optimiser.learning_rate: must be greater than 0, found 0"),
        ("method: imported\npath: nowhere", "arm.yaml:2: path: no such file or folder: nowhere. It is relative to thi"),
        ("method: untrained\nprompt: '{{ x'", "arm.yaml:2: prompt: broken template: "),
    ],
)  # fmt: skip
def test_arm_complaints(here: Path, text: str, message: str) -> None:
    (here / "arm.yaml").write_text(text)
    assert message in complaint(lambda: load_arm(Path("arm.yaml")))


def test_arm_takes_its_name_from_the_file(here: Path) -> None:
    (here / "wide.yaml").write_text("method: lora\nlora: {r: 64}\noptimiser: {learning_rate: 1e-4}\n")
    arm = load_arm(Path("wide.yaml"))
    assert isinstance(arm, LoraArmSpec)
    assert (arm.name, arm.lora.r, arm.optimiser.learning_rate) == ("wide", 64, 1e-4)


# -------------------------------------------------------------------------------------------------- experiments


@pytest.fixture
def experiment(here: Path, make_task: Callable[..., Path]) -> Callable[..., Path]:
    """Write an experiment; the arguments replace text in it."""

    def make(old: str = "", new: str = "") -> Path:
        make_task()
        (here / "base").mkdir(exist_ok=True)
        (here / "wide.yaml").write_text("method: lora\n")
        assert old in EXPERIMENT
        (here / "experiment.yaml").write_text(EXPERIMENT.replace(old, new) if old else EXPERIMENT)
        return Path("experiment.yaml")

    return make


def test_experiment_is_resolved(here: Path, experiment: Callable[..., Path]) -> None:
    found = load_experiment(experiment(), {"rouge_l", "bleu"})
    assert [arm.name for arm in found.arms] == ["untrained", "lora", "dpo"]
    assert isinstance(found.arms[2], DpoSpec) and found.arms[2].parent == "lora"
    assert found.base.path == str((here / "base").resolve())
    assert (found.name, found.task.name, found.task_dir) == ("experiment", "notes", (here / "notes").resolve())
    assert found.file.is_absolute()


def test_experiment_gets_an_untrained_arm(experiment: Callable[..., Path]) -> None:
    found = load_experiment(experiment("  - untrained\n", "  - wide.yaml\n"))
    assert [arm.name for arm in found.arms] == ["untrained", "wide", "lora", "dpo"]
    assert isinstance(found.arms[0], UntrainedSpec)


def test_an_experiment_elsewhere_finds_what_lies_beside_it(
    here: Path, experiment: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment("  - untrained\n", "  - wide.yaml\n")
    other = here / "other"
    other.mkdir()
    monkeypatch.chdir(other)
    found = load_experiment(Path("../experiment.yaml"))
    assert found.base.path == str((here / "base").resolve()) and found.task_dir == (here / "notes").resolve()


def test_stock_names_work_from_anywhere(here: Path) -> None:
    (here / "e.yaml").write_text(
        "task: visit_notes\nbase_model: baselines/arms\narms: [few_shot, dora]\nbudget: {tokens: 5}\n"
    )
    found = load_experiment(Path("e.yaml"))
    assert found.base.path == str(stock_folder() / "baselines" / "arms")  # any folder will do here
    assert [arm.name for arm in found.arms] == ["untrained", "few_shot", "dora"]
    assert set(stock_arms()) >= {"untrained", "few_shot", "full", "lora", "qlora", "dpo", "dora"}


def test_hub_ids_and_the_long_form(experiment: Callable[..., Path]) -> None:
    assert load_experiment(experiment("base_model: base", "base_model: Qwen/Qwen3-0.6B")).base.path == "Qwen/Qwen3-0.6B"
    long = "base_model: {path: base, dtype: bfloat16, context: 256}"
    found = load_experiment(experiment("base_model: base", long)).base
    assert (found.dtype, found.context, Path(found.path).name) == ("bfloat16", 256, "base")


def test_chat_template_file_is_read(here: Path, experiment: Callable[..., Path]) -> None:
    (here / "chat.jinja").write_text("{{ messages }}")
    found = load_experiment(experiment("seeds: [0, 1]", "chat: {template: chat.jinja}"))
    assert found.spec.chat.template == "{{ messages }}"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{examples: 100}", "{examples: 0}", "experiment.yaml:10: budget.examples: must be greater than 0, found 0"),
        ("{examples: 100}", "{}", "experiment.yaml:10: budget: give exactly one of examples, tokens and device_second"),
        ("{examples: 100}", "{examples: lots}", "budget.examples: must be a whole number, found text 'lots'"),
        ("{examples: 100}", "{exmples: 1}", "experiment.yaml:10: budget.exmples: unknown field. Did you mean 'example"),
        ("budget: {examples: 100}", "", "experiment.yaml:2: budget: this field is required and missing. What every"),
        ("seeds: [0, 1]", "seeds: [0, 0]", "experiment.yaml:2: seeds must be distinct"),
        ("seeds: [0, 1]", "seeds: [0, -1]", "experiment.yaml:9: seeds[1]: must be at least 0, found -1"),
        ("seeds: [0, 1]", "refrence: lora", "experiment.yaml:9: refrence: unknown field. Did you mean 'reference'?"),
        ("seeds: [0, 1]", "reference: lroa", "experiment.yaml:9: reference: no arm is named 'lroa'. Did you mean 'lor"),
        ("  - untrained", "  - untraind", "experiment.yaml:5: arms[0]: unknown stock arm 'untraind'. Did you mean 'un"),
        ("  - untrained", "  - nowhere.yaml", "experiment.yaml:5: arms[0]: no such arm file: nowhere.yaml"),
        ("  - untrained", "  - 5", "experiment.yaml:5: arms[0]: must be the name of a stock arm, a path, or an arm"),
        ("  - untrained", "  - lora", "experiment.yaml:6: arms[1]: two arms are named 'lora' (the other is arms[0])"),
        ("method: lora\n", "method: lroa\n", "experiment.yaml:6: arms[1].method: unknown method 'lroa'. Did you mean"),
        ("learning_rate: 2e-4", "learning_rat: 1", "experiment.yaml:7: arms[1].optimiser.learning_rat: unknown field"),
        ("parent: lora", "parent: lara", "experiment.yaml:8: arms[2].parent: no arm is named 'lara'. Did you mean 'lo"),
        ("parent: lora", "parent: untrained", "arms[2].parent: 'untrained' is untrained, and DPO starts from a super"),
        (", pairs: parent_samples", "", "arms[2].pairs: the task 'notes' has no preference pairs. Write `pairs: paren"),
        ("task: notes", "task: note", "experiment.yaml:2: task: no such task: note"),
        ("task: notes", "task: docstring", "experiment.yaml:2: task: no such task: docstring. Did you mean 'docstring"),
        ("base_model: base", "base_model: notes/bsae", "experiment.yaml:3: base_model: no such model folder: notes/bs"),
        ("base_model: base", "base_model: /no/such", "experiment.yaml:3: base_model: no such model folder: /no/such"),
        ("base_model: base", "base_model: {path: base, dtype: fp8}", "base_model.dtype: text 'fp8' is not one of floa"),
        ("base_model: base", "base_model: 5", "experiment.yaml:3: base_model: must be "),
        ("arms:\n", "arms: []\nx:\n", "experiment.yaml:5: x: unknown field"),
        ("seeds: [0, 1]", "chat: {template: no.jinja}", "experiment.yaml:9: chat.template: no such file or folder: no"),
    ],
)  # fmt: skip
def test_experiment_complaints(experiment: Callable[..., Path], old: str, new: str, message: str) -> None:
    path = experiment(old, new)
    assert message in complaint(lambda: load_experiment(path))


def test_metric_of_the_task_is_checked_for_an_experiment(experiment: Callable[..., Path]) -> None:
    path = experiment()
    task = path.parent / "notes" / "task.yaml"
    task.write_text(task.read_text().replace("also: [bleu]", "also: ['bleu:klingon']"))
    assert "'klingon'" in complaint(lambda: load_experiment(path, {"rouge_l"}))


# -------------------------------------------------------------------------------------------------------- check


def test_check_reads_files_folders_and_data(here: Path, experiment: Callable[..., Path]) -> None:
    path = experiment()
    hidden = here / "notes" / "lm_eval"
    hidden.mkdir()
    (hidden / "theirs.yaml").write_text("task: !function x.y\n")
    task_line = check(Path("notes"))[0]
    assert task_line.startswith("notes/task.yaml: task notes: 40 examples; ") and "fingerprint" in task_line
    line, unchecked = check(path)[0].split("\n")  # the base model's folder is empty
    assert line == "experiment.yaml: experiment experiment on task notes: untrained, lora, dpo"
    assert "not checked against the model" in unchecked
    assert check(Path("wide.yaml")) == ["wide.yaml: arm wide (lora)"]
    everything = check(Path(), data=False)
    assert [line.split(":")[0] for line in everything] == ["experiment.yaml", "notes/task.yaml", "wide.yaml"]


def test_check_complains_about_an_empty_folder(here: Path) -> None:
    (here / "void").mkdir()
    assert complaint(lambda: check(Path("void"))).startswith("void: no YAML file below this folder")
