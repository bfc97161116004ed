"""`harness review` from a shell: an experiment with toy arms, opened, judged, closed, exported; nothing named early."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from review_samples import work
from shell_calls import Shell

from harness import review
from harness.config import DataSpec, MetricsSpec, TaskSpec
from harness.data.preference_files import read_pairs
from harness.records import Assignment
from harness.results import queries
from harness.results.human import votes as votes_of

TASK = """
name: echo
data: {path: rows.jsonl, licence: CC0-1.0}
id: id
group: group
prompt: "Say: {{ words }}"
target: "{{ words }}"
splits: {test: 0.3, validation: 0.2}
generate: {max_new_tokens: 60}
metrics: {primary: exact_match}
review:
  instructions: Which one repeats the words?
  criteria: [correctness, style]
  flags: [fabrication]
  practice: {prompt: "Say: 1 2", left: 1 2, right: 2 1, answer: left, why: It repeats the words.}
"""
EXPERIMENT = """
task: task
base_model: none
arms:
  - {method: toy, name: canary-weak, skill: 0.1}
  - {method: toy, name: canary-strong, skill: 0.9}
  - {method: toy, name: canary-middle, skill: 0.5}
seeds: [0]
budget: {examples: 10}
reference: canary-weak
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `harness run canary.yaml` has run."""
    from harness.experiments import pipeline
    from harness.progress import Reporter

    folder = tmp_path_factory.mktemp("project")
    (folder / "task").mkdir()
    (folder / "none").mkdir()
    rows = [{"id": f"e{n}", "group": f"g{n // 2}", "words": f"{n * 7919} {n * 104729} {n * 31}"} for n in range(1, 61)]
    (folder / "task" / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "task" / "task.yaml").write_text(TASK)
    (folder / "canary.yaml").write_text(EXPERIMENT)
    with Reporter() as reporter:
        pipeline.run(folder / "canary.yaml", folder / ".harness", reporter)
    return folder


@pytest.fixture
def here(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project)
    return project


def careful(item: Any) -> str:
    """Prefers the answer that repeats the words."""
    words = item.prompt.removeprefix("Say: ")
    left, right = item.left == words, item.right == words
    return "tie" if left == right else "left" if left else "right"


def opened(shell: Shell, *words: str) -> str:
    answer = shell("review", "open", "canary.yaml", *words)
    assert answer.code == 0, answer.err
    assert "canary" not in answer.out
    return answer.out.split()[2].rstrip(":")


def test_a_round_over_the_test_split_from_opening_to_results(here: Path, shell: Shell) -> None:
    looks = len(queries.looks(Path(".harness"), None))
    name = opened(shell, "--arms", "canary-strong,canary-weak", "--items", "8", "--gold", "2", "--identical", "1")
    assert len(queries.looks(Path(".harness"), None)) == looks + 2
    link = shell("review", "invite", name, "Ann").out.strip()
    store = queries.open_store(Path(".harness"))
    who = review.authenticate(store, link.partition("token=")[2])
    assert who is not None
    assert review.briefing(store, who).instructions == "Which one repeats the words?"
    assert work(store, who, careful) > 5
    before = [
        shell("review", "status"),
        shell("review", "status", name, "--json"),
        shell("review", "revoke", name, "Ann"),
    ]
    early = [shell("review", "export", name, "--as", form) for form in ("votes-csv", "votes-jsonl")]
    assert all(answer.code == 0 for answer in [*before, *early])
    bundled = shell("review", "bundle", name, "--out", f"bundle-{name}")
    files = [path.read_text() for path in Path(f"bundle-{name}").iterdir()]
    assert bundled.code == 0 and len(files) == 2
    assert not [text for text in [*files, *(a.out + a.err for a in [*before, *early, bundled])] if "canary" in text]
    assert (
        "no example has all its votes yet" in before[0].out
        and json.loads(before[1].out)["rounds"][0]["monitor"]["low"] == 0.5
    )
    refused = shell("review", "results", name)
    assert refused.code == 2 and "is not unblinded" in refused.err and "Traceback" not in refused.err
    assert shell("review", "close", name, "--reason", "enough").code == 0
    assert shell("review", "unblind", name).code == 2
    shown = shell("review", "unblind", name, "--reason", "all votes are in")
    assert "canary-strong over canary-weak" in shown.out and "Clopper-Pearson" in shown.out
    assert shell("review", "results", name).out == shown.out
    plain = json.loads(shell("review", "results", name, "--json").out)
    assert plain["schema"] == "harness.review-results/2"
    best = plain["everyone"]["arms"][0]
    assert best["arm"] == "canary-strong" and best["win_rate"]["wins"] > 0 and best["win_rate"]["losses"] == 0
    assert plain["raters"][0]["gold"]["estimate"]["value"] == 1.0 and plain["raters"][0]["gold"]["estimate"]["n"] == 2
    board = json.loads(shell("leaderboard", "canary", "--json").out)["human"]
    assert (
        board["round"] == name
        and board["rows"][0]["human_win_rate"]["value"] == best["win_rate"]["rate"]["estimate"]["value"]
    )
    assert "human win rate" in shell("leaderboard", "canary").out and name in shell("leaderboard", "canary").out
    refused = shell("review", "export", name, "--as", "preferences")
    assert refused.code == 2 and "over the test split" in refused.err and "--split validation" in refused.err
    assert "canary-strong" in shell("review", "export", name, "--as", "votes-csv").out


def test_votes_over_validation_become_pairs_that_an_experiment_can_train_on(here: Path, shell: Shell) -> None:
    looks = len(queries.looks(Path(".harness"), None))
    name = opened(
        shell, "--arms", "canary-strong,canary-weak", "--items", "6", "--raters", "1", "--split", "validation"
    )
    assert len(queries.looks(Path(".harness"), None)) == looks  # the test split was not looked at
    store = queries.open_store(Path(".harness"))
    who = review.authenticate(store, review.invite(store, name, "Ann"))
    assert who is not None and work(store, who, careful) > 2
    assert shell("review", "unblind", name, "--reason", "done").code == 0
    wrote = shell("review", "export", name, "--as", "preferences", "--out", "votes.jsonl")
    assert wrote.code == 0
    rows = [json.loads(line) for line in Path("votes.jsonl").read_text().splitlines()]
    assert wrote.out == f"wrote votes.jsonl: {len(rows)} rows\n" and rows
    assert all(row["chosen"] == row["prompt"].removeprefix("Say: ") for row in rows)
    task = TaskSpec(
        name="echo", data=DataSpec(path="x", licence="CC0-1.0"), prompt="{{ a }}", target="{{ a }}",
        metrics=MetricsSpec(primary="bleu"),
    )  # fmt: skip
    assert len(read_pairs(Path("votes.jsonl"), task).pairs) == len(rows)
    Path("dpo.yaml").write_text(
        "task: task\nbase_model: none\n"
        "arms: [untrained, lora, {method: dpo, parent: lora, pairs: {path: votes.jsonl}}]\n"
        "budget: {examples: 8}\n"
    )
    checked = shell("check", "dpo.yaml")
    assert checked.code == 0, checked.err


def test_fresh_prompts_and_three_arms(here: Path, shell: Shell) -> None:
    Path("fresh.jsonl").write_text(
        "".join(json.dumps({"words": f"{n} {n + 1} {n + 2}"}) + "\n" for n in range(500, 508))
    )
    arms = "canary-strong,canary-weak,canary-middle"
    name = opened(
        shell, "--arms", arms, "--prompts", "fresh.jsonl", "--items", "9", "--reviewers", "3", "--ask-identical"
    )
    store = queries.open_store(Path(".harness"))
    there = review.find_round(store, name)
    with store.session() as session:
        found = session.read(Assignment, "round = $1 AND kind = 'ordinary'", [name])
    assert there.split == "prompts" and there.queues == 3 and len(found) == 18
    assert {frozenset((a.left, a.right)) for a in found} == {
        frozenset((there.evaluations[a], there.evaluations[b]))
        for a, b in (
            ("canary-strong", "canary-weak"),
            ("canary-strong", "canary-middle"),
            ("canary-weak", "canary-middle"),
        )
    }
    sealed = json.loads(next(Path(".harness/sealed").glob("*/test.jsonl")).read_text().splitlines()[0])
    Path("leak.jsonl").write_text(json.dumps({"words": sealed["fields"]["words"]}) + "\n")
    answer = shell("review", "open", "canary.yaml", "--arms", arms, "--prompts", "leak.jsonl")
    assert answer.code == 2 and "prompt 1 is one of the test split" in answer.err


def test_how_people_are_asked_may_be_written_after_the_run(here: Path, shell: Shell) -> None:
    file = Path("task/task.yaml")
    before = file.read_text()
    file.write_text(before.replace("Which one repeats the words?", "Another question?"))
    try:
        names = [
            opened(shell, "--arms", "canary-strong,canary-weak", "--items", "2", "--gold", "0"),
            shell("review", "open", "canary", "--arms", "canary-strong,canary-weak", "--items", "2").out.split()[2][
                :-1
            ],
        ]
    finally:
        file.write_text(before)
    store = queries.open_store(Path(".harness"))
    found = [review.find_round(store, name).instructions for name in names]
    assert found == ["Another question?", "Which one repeats the words?"]


def test_gold_pairs_of_the_owner(here: Path, shell: Shell) -> None:
    Path("gold.csv").write_text("prompt,good,bad\nSay: 1 2,1 2,9 9\nSay: 3 4,3 4,8 8\n")
    name = opened(
        shell, "--arms", "canary-strong,canary-weak", "--items", "4", "--gold-file", "gold.csv", "--gold", "3"
    )
    store = queries.open_store(Path(".harness"))
    who = review.authenticate(store, review.invite(store, name, "Ann"))
    assert who is not None
    work(store, who, careful)
    assert votes_of.qualities(review.round_votes(store, name))[0].gold == (3, 3)
    Path("gold.csv").write_text("prompt,good,bad\nSay: 1 2,,9 9\n")
    answer = shell("review", "open", "canary.yaml", "--arms", "canary-strong,canary-weak", "--gold-file", "gold.csv")
    assert answer.code == 2 and "gold.csv:2: good is missing or empty" in answer.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("open", "canary.yaml", "--arms", "canary-weak"), "two or more different arms"),
        (("open", "canary.yaml", "--arms", "canary-weak,canary-weka"), "Arms with answers: canary-weak, canary-strong"),
        (
            ("open", "canary", "--arms", "canary-weak,canary-strong", "--split", "validation"),
            "Give the experiment's file",
        ),
        (("open", "canary.yaml", "--arms", "canary-weak,canary-strong", "--split", "train"), "Give test or validation"),
        (("open", "canary.yaml", "--arms", "canary-weak,canary-strong", "--items", "999"), "Give at most --items"),
        (("open", "canary.yaml", "--arms", "canary-weak,canary-strong", "--instructions", "no.txt"), "no such file"),
        (("open", "canary.yaml", "--arms", "canary-weak,canary-strong", "--seed", "7", "--split", "nope"), "--split"),
        (("invite", "nope", "Ann"), "no round is called 'nope'"),
        (("import", "nope.csv"), "no such file: nope.csv"),
        (("export", "nope", "--as", "pdf"), "Give votes-csv, votes-jsonl or preferences"),
        (("status", "nope"), "no round is called"),
        (("bundle", "nope", "--out", "x"), "no round is called"),
    ],
)
def test_what_cannot_be_is_one_line(here: Path, shell: Shell, words: tuple[str, ...], message: str) -> None:
    answer = shell("review", *words)
    assert answer.code == 2 and message in answer.err and answer.err.count("\n") == 1


def test_finished_annotations_come_in_without_an_experiment(
    tmp_path: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("done.csv").write_text("example,left,right,rater,winner\nq1,a,b,ann,left\nq2,b,a,ann,left\n")
    answer = shell("review", "import", "done.csv")
    assert answer.code == 0 and answer.out.endswith(": 2 votes taken in, 0 were there already\n")
    name = answer.out.split()[1].rstrip(":")
    out = shell("review", "results", name).out
    assert "a     0.500" in out and "votes from elsewhere" in out.lower()
    assert "One rater: intervals are clustered by example only" in out
    assert "unblinded" in shell("review", "status").out
