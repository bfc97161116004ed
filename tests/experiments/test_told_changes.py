"""What is shown is what the files say now; a path means its own record; a run without its primary metric fails."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from fake_server import Answer, said, serving
from shell_calls import Shell

from harness import environment
from harness.arms.endpoint import PROBES
from harness.errors import is_full_disk
from harness.records.files import write_bytes

ROOT = Path(__file__).parents[2]


def board(shell: Shell, *words: str) -> dict[str, Any]:
    answer = shell("leaderboard", *words, "--json")
    assert answer.code == 0, answer.err
    return dict(json.loads(answer.out))


CHANGES = {
    "metrics: {primary: exact_match, also: [rouge_l, bleu, perplexity]}": (
        "metrics: {primary: rouge_l, also: [exact_match]}", "task.metrics",
    ),
    "name: echo": ("name: echo\nversion: 7", "task.version"),
    "id: id": ("id: id\ndescription: other words", "task.description"),
    "group: group": ("group: group\nsensitive: true", "task.sensitive"),
}  # fmt: skip


@pytest.mark.parametrize("old", CHANGES)
def test_a_changed_file_is_shown_as_it_is_now(
    shell: Shell, project: Path, monkeypatch: pytest.MonkeyPatch, old: str
) -> None:
    monkeypatch.chdir(project)
    assert shell("run", "toys.yaml").code == 0
    before = board(shell, "toys.yaml")
    new, field = CHANGES[old]
    task = project / "task" / "task.yaml"
    task.write_text(task.read_text().replace(old, new))
    again = shell("run", "toys.yaml")
    assert again.code == 0, again.err
    after = board(shell, "toys.yaml")
    assert after["experiment"]["id"] == before["experiment"]["id"]
    assert any(note.startswith(f"{field} was changed") for note in after["notes"])
    if field == "task.metrics":
        assert [column["name"] for column in after["metrics"] if column["primary"]] == ["rouge_l"]
    if field == "task.version":
        assert after["task"]["version"] == 7
    if field == "task.sensitive":
        assert after["task"]["sensitive"] is True


def test_a_path_means_the_record_of_that_file(shell: Shell, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setenv("HARNESS_HOME", str(project / "home"))
    for name, skill in (("a", "0.9"), ("b", "0.1")):
        shutil.copytree(project / "task", project / name / "task")
        text = (project / "toys.yaml").read_text().replace("skill: 0.9", f"skill: {skill}")
        (project / name / "exp.yaml").write_text(text.replace("base_model: none", "base_model: ../none"))
        assert shell("run", f"{name}/exp.yaml").code == 0
    boards = {name: board(shell, f"{name}/exp.yaml") for name in "ab"}
    assert boards["a"]["experiment"]["id"] != boards["b"]["experiment"]["id"]
    ambiguous = shell("leaderboard", "exp")
    assert ambiguous.code == 2 and "2 files" in ambiguous.err
    pinned = shell("release", "exp/strong", "--as", "v1")
    assert pinned.code == 2 and "2 files" in pinned.err
    assert board(shell, boards["a"]["experiment"]["id"])["experiment"]["id"] == boards["a"]["experiment"]["id"]
    (project / "a").rename(project / "moved")
    assert board(shell, "moved/exp.yaml")["experiment"]["id"] == boards["a"]["experiment"]["id"]
    (project / "c").mkdir()
    (project / "c" / "exp.yaml").write_text("other: text\n")
    assert shell("leaderboard", "c/exp.yaml").code == 2


def test_a_run_without_a_value_of_its_primary_metric_fails(
    shell: Shell, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    task = project / "task" / "task.yaml"
    task.write_text(task.read_text().replace("primary: exact_match", "primary: some_task/acc"))
    answer = shell("run", "toys.yaml")
    assert answer.code == 6
    assert all(f"{arm} ended well and has no value" in answer.out + answer.err for arm in ("weak", "strong"))


@pytest.mark.parametrize(("skills", "alike"), [((1.0, 1.0), True), ((0.0, 1.0), False)])
def test_arms_that_answer_alike_are_marked(
    shell: Shell, project: Path, monkeypatch: pytest.MonkeyPatch, skills: tuple[float, float], alike: bool
) -> None:
    """A toy of skill 1 is right on every example, so two of them answer alike."""
    monkeypatch.chdir(project)
    toys = project / "toys.yaml"
    text = toys.read_text().replace("skill: 0.2", f"skill: {skills[0]}").replace("skill: 0.9", f"skill: {skills[1]}")
    toys.write_text(text)
    assert shell("run", "toys.yaml").code == 0
    rows = {row["arm"]: row for row in board(shell, "toys.yaml")["rows"]}
    assert any("answers equal those of weak" in note for note in rows["strong"]["notes"]) == alike
    assert not any("answers equal" in note for note in rows["weak"]["notes"])


def test_a_written_out_arm_says_that_it_is_not_the_stock_one(project: Path) -> None:
    from harness.experiments.loading.load import load_experiment, recipe_notes

    arms = (
        "arms:\n  - {method: lora, name: bare}\n  - {method: full, name: given, optimiser: {learning_rate: 1.0e-5}}\n"
    )
    text = (project / "toys.yaml").read_text()
    start = text.index("arms:")
    (project / "own.yaml").write_text(text[:start] + arms + "  - qlora\nseeds: [0]\nbudget: {examples: 10}\n")
    [note] = recipe_notes(load_experiment(project / "own.yaml"))
    assert note.startswith("bare ") and "0.0001" in note and "0.008" in note


REFUSALS: dict[str, dict[str, Any]] = {
    "filter": {"finish_reason": "content_filter", "message": {"role": "assistant", "content": None}},
    "tool": {
        "finish_reason": "tool_calls",
        "message": {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
    },
    "refusal": {"finish_reason": "stop", "message": {"role": "assistant", "content": None, "refusal": "I cannot"}},
    "reasoning": {
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": None, "reasoning_content": "hm"},
    },
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_what_a_server_does_not_answer_is_no_wrong_answer(
    shell: Shell, project: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(project)
    count = [0]

    def answer(body: dict[str, Any]) -> Answer:
        prompt = body["messages"][-1]["content"]
        count[0] += prompt not in PROBES
        if prompt not in PROBES and count[0] % 2:
            return 200, json.dumps({"choices": [REFUSALS[kind]]}).encode(), {}
        return said(prompt.removeprefix("Say: "), chat=True)

    with serving(answer) as server:
        text = (project / "toys.yaml").read_text()
        arm = f"  - {{method: endpoint, name: served, url: '{server.url}', model: m, api: chat, retries: 0}}\n"
        (project / "toys.yaml").write_text(
            text.replace("seeds:", arm + "seeds:").replace(
                "base_model: none", f"base_model: {ROOT / 'baselines' / 'base'}"
            )
        )
        task = project / "task" / "task.yaml"
        task.write_text(task.read_text().replace(", perplexity", ""))
        ran = shell("run", "toys.yaml", "--json")
    assert ran.code == 0, ran.err
    row = next(row for row in json.loads(ran.out)["rows"] if row["arm"] == "served")
    refused = row["answers"]["refused"]
    assert 0 < refused < row["answers"]["answers"]
    assert row["metrics"]["exact_match"]["missing"] == refused
    assert any("refused" in note for note in row["notes"])


# --------------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    "words", ["No space left on device (os error 28)", "[Errno 28] No space left", "IO Error: Disk quota exceeded"]
)
def test_a_full_disk_is_one_in_any_library_s_words(words: str) -> None:
    class Other(Exception):
        pass

    assert is_full_disk(Other(words))
    try:
        try:
            raise Other(words)
        except Other as cause:
            raise RuntimeError("saving failed") from cause
    except RuntimeError as error:
        assert is_full_disk(error)
    assert not is_full_disk(Other("out of memory"))


@pytest.mark.parametrize("home", ["file", "file/below", "\0"[:0] or "x" * 300])
def test_a_home_that_cannot_be_is_one_line(
    shell: Shell, project: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.chdir(project)
    (project / "file").write_text("")
    answer = shell("run", "toys.yaml", "--home", home)
    assert answer.code == 2 and len(answer.err.strip().splitlines()) == 1 and "Traceback" not in answer.err


def test_files_written_at_once_do_not_meet(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: write_bytes(tmp_path / "x.json", b"%d" % number * 1000), range(200)))
    assert len(set((tmp_path / "x.json").read_text())) <= 3 and list(tmp_path.iterdir()) == [tmp_path / "x.json"]


@pytest.mark.parametrize(("quota", "expected"), [("max 100000", None), ("150000 100000", 1.5), ("50000 100000", 0.5)])
def test_threads_follow_the_environment_and_the_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, expected: float | None
) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    assert environment._quota(tmp_path) == (expected or float("inf"))
    monkeypatch.setattr(environment, "_quota", lambda: expected or float("inf"))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert environment.usable_threads() >= 1 and (expected != 0.5 or environment.usable_threads() == 1)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert environment.usable_threads() == 3
