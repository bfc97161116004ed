"""`import harness`: every function answers what the command of its name prints, as tables, dictionaries and HTML."""

from __future__ import annotations

import inspect
import json
import resource
import subprocess
import sys
import typing
from pathlib import Path

import pytest
from review_samples import work
from shell_calls import Shell

import harness as h

TASK = """
name: echo
data: {path: rows.jsonl, licence: CC0-1.0}
id: id
prompt: "Say: {{ words }}"
target: "{{ words }}"
splits: {test: 0.5, validation: 0.1}
generate: {max_new_tokens: 60}
metrics: {primary: exact_match, also: [bleu]}
"""
EXPERIMENT = """
task: TASK
base_model: none
arms:
  - {method: toy, name: weak, skill: 0.2}
  - {method: toy, name: strong, skill: 0.9, learning_rate: 0.01}
seeds: [0, 1]
budget: {examples: 10}
reference: weak
"""
GATES = "baseline: released/weak-1\nrules:\n  - {metric: exact_match, margin: 0.1, name: '<b>not worse</b>'}\n"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `plain.yaml` and `private.yaml`, over a sensitive task, have run."""
    folder = tmp_path_factory.mktemp("face")
    (folder / "none").mkdir()
    rows = [{"id": f"patient-{n}", "words": f"<script>{n * 7919}</script> {n * 104729}"} for n in range(1, 121)]
    for name, more in (("plain", ""), ("private", "sensitive: true\n")):
        (folder / name).mkdir()
        (folder / name / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / name / "task.yaml").write_text(TASK + more)
        (folder / f"{name}.yaml").write_text(EXPERIMENT.replace("TASK", name))
        assert not h.run(folder / f"{name}.yaml", home=folder / ".harness", progress=False).failed
    return folder


@pytest.fixture
def here(finished: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(finished)
    return finished


def test_import_is_light_and_takes_no_time() -> None:
    script = "import sys, resource as r, time; b = r.getrusage(0); import harness; a = r.getrusage(0)\n"
    script += "print(sorted(m for m in sys.modules if m.startswith('harness')), sorted({'typer', 'pydantic', 'numpy', "
    script += "'rich', 'yaml'} & set(sys.modules)), a.ru_utime + a.ru_stime - b.ru_utime - b.ru_stime, sep=';')"
    spent: list[float] = []
    while len(spent) < 5 and min(spent, default=1.0) >= 0.05:  # neighbours of a shared processor only ever add to it
        answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
        own, heavy, seconds = answer.strip().split(";")
        assert (own, heavy) == ("['harness', 'harness.errors']", "[]")
        spent.append(float(seconds))
    assert min(spent) < 0.05


def test_every_public_function_is_documented_with_what_it_raises() -> None:
    for name in set(h.__all__) - {"__version__", "HarnessError"}:
        documented = getattr(h, name).__doc__
        assert all(f"\n    {part}:\n" in documented for part in ("Args", "Returns", "Raises")), name
    assert (Path(h.__file__).parent / "py.typed").exists()


def test_every_public_function_is_typed() -> None:
    from harness.experiments import views as experiments
    from harness.release import views as release
    from harness.results import views as results

    names = {**vars(experiments), **vars(release), **vars(results)}
    for name in set(h.__all__) - {"__version__", "HarnessError"}:
        function = getattr(h, name)
        hints = typing.get_type_hints(function, localns=names)
        assert issubclass(hints.pop("return"), results.View), name
        assert set(hints) == set(inspect.signature(function).parameters), name


@pytest.mark.usefixtures("here")
def test_the_leaderboard_is_that_of_the_command(shell: Shell) -> None:
    board = h.leaderboard("plain")
    assert board.to_dict() == json.loads(shell("leaderboard", "plain", "--json").out)
    assert str(board) == shell("leaderboard", "plain").out
    assert h.run("plain.yaml", progress=False).to_dict() == board.to_dict()
    table = board.to_pandas()
    assert list(table[table.primary].arm) == ["strong", "weak"]
    assert set(table.metric) == {"exact_match", "bleu", "length_limited"} and len(table) == 6
    strong = table[(table.arm == "strong") & (table.metric == "exact_match")].iloc[0]
    row = next(row for row in board.to_dict()["rows"] if row["arm"] == "strong")
    assert strong.value == row["metrics"]["exact_match"]["estimate"]["value"]
    assert strong.low < strong.value < strong.high and strong.seeds == 2


@pytest.mark.usefixtures("here")
def test_a_notebook_shows_the_leaderboard_as_a_table() -> None:
    ranking = h.leaderboard("plain")._repr_html_().partition("<table>")[2].partition("</table>")[0]
    assert ranking.count("<tr>") == 3 and "<th>exact_match ↑ [95 %]</th>" in ranking and "<td>strong</td>" in ranking


@pytest.mark.usefixtures("here")
def test_figures_of_a_stored_experiment() -> None:
    figure = h.leaderboard("plain").figure()
    assert figure.axes and figure.axes[0].get_xlabel()
    with pytest.raises(h.HarnessError, match=r"forrest.*forest"):
        h.leaderboard("plain").figure("forrest")


@pytest.mark.usefixtures("here")
def test_a_comparison_is_that_of_the_command(shell: Shell) -> None:
    found = h.compare("strong", "weak", experiment="plain")
    assert found.to_dict() == json.loads(shell("compare", "strong", "weak", "--experiment", "plain", "--json").out)
    table = found.to_pandas().set_index("metric")
    assert table.a["exact_match"] - table.b["exact_match"] == pytest.approx(table.difference["exact_match"])
    assert "strong minus weak" in found._repr_html_()


@pytest.mark.usefixtures("here")
def test_predictions_are_escaped(shell: Shell) -> None:
    found = h.predictions("plain/strong@1")
    assert found.to_dict() == json.loads(shell("predictions", "plain/strong@1", "--json").out)
    table = found.to_pandas()
    assert len(table) == h.leaderboard("plain").board.experiment.split_sizes["test"]
    assert table.text.str.contains("<script>").any() and table.example.str.startswith("patient-").all()
    html = found._repr_html_()
    assert "&lt;script&gt;" in html and "<script>" not in html
    with pytest.raises(h.HarnessError, match="strong@0, strong@1"):
        h.predictions("plain/strong")


@pytest.mark.usefixtures("here")
def test_texts_and_ids_of_a_sensitive_task_are_withheld(shell: Shell) -> None:
    found, compared = h.predictions("private/strong@0"), h.compare("strong", "weak", experiment="private")
    shown = [str(found), found._repr_html_(), json.dumps(found.to_dict()), str(found.to_pandas()), str(compared)]
    shown += [compared._repr_html_(), h.leaderboard("private")._repr_html_(), shell("predictions", "private/weak").out]
    assert not [text for text in shown if "patient-" in text or "script" in text]
    assert found.to_dict()["predictions"][0]["example"] == "no. 1" and found.to_pandas().text.isna().all()


@pytest.mark.usefixtures("here")
def test_a_plan_is_that_of_the_command(shell: Shell) -> None:
    found = h.plan("plain.yaml")
    assert found.to_dict() == json.loads(shell("plan", "plain.yaml", "--json").out)
    assert str(found) + "\n" == shell("plan", "plain.yaml").out
    assert list(found.to_pandas().finished) == [1, 2] and found._repr_html_().count("<tr>") == 3


@pytest.mark.usefixtures("here")
def test_files_are_read_with_their_defaults() -> None:
    task, experiment = h.load_task("private"), h.load_experiment("plain.yaml")
    assert task.spec.sensitive and task.to_dict()["splits"]["test"] == 0.5
    settings = task.to_pandas().set_index("field").value
    assert settings["metrics.primary"] == "exact_match" and "sensitive" in task._repr_html_()
    assert list(experiment.to_pandas().skill) == [0.2, 0.9]
    assert [arm["name"] for arm in experiment.to_dict()["arms"]] == ["weak", "strong"]
    assert "learning_rate: 0.01" in experiment._repr_html_()


@pytest.mark.usefixtures("here")
def test_a_gate_is_that_of_the_command(shell: Shell) -> None:
    pin = ("release", "plain/weak", "--as", "weak-1", "--in", "released", "--anyway", "a test")
    assert shell(*pin).code == 0
    Path("gates.yaml").write_text(GATES)
    found = h.gate("gates.yaml", "plain/strong@0", progress=False)
    assert (found.outcome, found.exit_code) == ("PASS", 0)
    told = json.loads(shell("gate", "gates.yaml", "--candidate", "plain/strong@0", "--json").out)
    assert told["rules"] == found.to_dict()["rules"] and told["schema"] == found.to_dict()["schema"]
    assert list(found.to_pandas().outcome) == ["PASS"]
    assert "&lt;b&gt;not worse&lt;/b&gt;" in found._repr_html_()


@pytest.mark.usefixtures("here")
def test_what_people_said_is_that_of_the_command(shell: Shell) -> None:
    from harness import review
    from harness.results import queries

    opened = shell("review", "open", "plain.yaml", "--arms", "strong,weak", "--items", "6", "--raters", "1")
    name = opened.out.split()[2].rstrip(":")
    with pytest.raises(h.HarnessError, match="not unblinded"):
        h.review_results(name)
    link = shell("review", "invite", name, "Ann").out.strip()
    store = queries.open_store(Path(".harness"))
    who = review.authenticate(store, link.partition("token=")[2])
    assert who is not None and work(store, who, lambda item: "left") > 0  # pairs of one text are asked of nobody
    assert shell("review", "unblind", name, "--reason", "all votes are in").code == 0
    found = h.review_results(name)
    assert found.to_dict() == json.loads(shell("review", "results", name, "--json").out)
    rates = found._repr_html_().partition("<table>")[2].partition("</table>")[0]
    assert set(found.to_pandas().arm) == {"strong", "weak"} and rates.count("<tr>") == 3


def test_errors_are_those_of_the_command(tmp_path: Path) -> None:
    with pytest.raises(h.HarnessError) as caught:
        h.leaderboard(home=tmp_path)
    assert caught.value.exit_code == 2 and "holds no results" in str(caught.value)


def test_home_comes_from_the_environment(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_HOME", str(finished / ".harness"))
    assert h.leaderboard("plain").board.experiment.name == "plain"


def test_the_command_line_starts_as_fast_with_completion(shell: Shell) -> None:
    assert shell("--version").out.strip() == h.__version__
    script = "import sys; sys.argv[0] = 'harness'; from harness.cli.main import main; main()"
    asked = {"_HARNESS_COMPLETE": "complete_bash", "COMP_WORDS": "harness leaderb", "COMP_CWORD": "1"}
    asked |= {"PYTHONPATH": str(Path(h.__file__).parents[1])}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    answer = subprocess.run([sys.executable, "-c", script], env=asked, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert answer.stdout.split() == ["leaderboard"]
    assert after.ru_utime - before.ru_utime < 1
