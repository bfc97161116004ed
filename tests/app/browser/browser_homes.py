"""Home folders to look at: a finished experiment of toy arms with a round, and one whose every text is hostile."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from harness import review
from harness.metrics import score_predictions
from harness.records import (
    Assignment,
    Entry,
    Example,
    ExclusionRule,
    ExperimentRecord,
    GateCall,
    GateVerdict,
    Judgment,
    Ledger,
    Practice,
    Prediction,
    Provenance,
    ReviewText,
    Round,
    RuleVerdict,
    RunRecord,
    Stamp,
    WaiverUse,
)
from harness.records.files import write_records
from harness.results import queries
from harness.review.plan import Design, Material, plan_round
from harness.store import Store

TASK = """
name: echo
data: {path: rows.jsonl, licence: CC0-1.0}
id: id
group: group
prompt: "Say: {{ words }}"
target: "{{ words }}"
splits: {test: 0.4, validation: 0.2}
generate: {max_new_tokens: 60}
metrics: {primary: exact_match, also: [rouge_l]}
review:
  instructions: Which one repeats the words?
  criteria: [correctness]
  flags: [fabrication]
  practice: {prompt: "Say: 1 2", left: 1 2, right: 2 1, answer: left, why: It repeats the words.}
"""
EXPERIMENT = """
task: task
base_model: none
arms:
  - {method: toy, name: canary-weak, skill: 0.1}
  - {method: toy, name: canary-strong, skill: 0.9}
seeds: [0]
budget: {examples: 10}
reference: canary-weak
"""


def run_toys(folder: Path, rows: int = 80) -> Path:
    """Run an experiment of two toy arms in `folder`; its home folder."""
    from harness.experiments import pipeline
    from harness.progress import Reporter

    (folder / "task").mkdir(parents=True)
    (folder / "none").mkdir()
    lines = [
        {"id": f"e{n}", "group": f"g{n // 2}", "words": f"{n * 7919} {n * 104729} {n * 31}"} for n in range(1, rows + 1)
    ]
    (folder / "task" / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "task" / "task.yaml").write_text(TASK)
    (folder / "canary.yaml").write_text(EXPERIMENT)
    with Reporter() as reporter:
        pipeline.run(folder / "canary.yaml", folder / "home", reporter)
    return folder / "home"


def open_toys(home: Path, items: int, reviewers: int = 1) -> str:
    """Open a round over the toys' test answers, all of them asked about; its id."""
    from harness.progress import Reporter
    from harness.review import opening

    request = opening.Request(
        ("canary-strong", "canary-weak"), items, raters=1, reviewers=reviewers, gold=2, identical=1, repeats=1,
        ask_identical=True,
    )  # fmt: skip
    with Reporter() as reporter:
        return opening.open_experiment(home, "canary", request, "owner", reporter).id


def invite(home: Path, round_id: str, name: str) -> str:
    """The token of a new invitation."""
    return review.invite(queries.open_store(home), round_id, name)


def counted(home: Path, rater: str) -> list[Judgment]:
    """The votes of a reviewer that stand: one for each assignment, neither taken back nor practice."""
    store = queries.open_store(home)
    with store.session() as session:
        votes = session.read(Judgment, "rater = $1", [rater], all_rows=True)
        practice = {a.token for a in session.read(Assignment, "kind = 'practice'")}
    latest: dict[str, Judgment] = {}
    for vote in votes:
        if vote.assignment not in latest or latest[vote.assignment].revision < vote.revision:
            latest[vote.assignment] = vote
    return [vote for vote in latest.values() if vote.winner != "undone" and vote.assignment not in practice]


def all_rows(home: Path, rater: str) -> list[Judgment]:
    """Every row that a reviewer caused, what was taken back included."""
    with queries.open_store(home).session() as session:
        return session.read(Judgment, "rater = $1", [rater], all_rows=True)


def hostile_gate(texts: Sequence[str]) -> GateCall:
    """A verdict whose every word is hostile: what people write in a gates file, and what errors quote."""
    whole = " ".join(texts)
    rules = tuple(RuleVerdict(text, "critical", "INVALID", whole, None, 0.5) for text in texts[:3])
    return GateCall(
        id="g1", when="2026-01-01T00:00:00Z", who=texts[0], gates_file=texts[1], gates_digest="g", rules_digest="r",
        baseline=texts[2], baseline_digest="b", candidate=texts[3], experiment="x1", train_id="t", eval_id="v-one",
        data={texts[6]: texts[7]}, outcome="INVALID", exit_code=4, look=None, looks=1, reason=whole,
        verdict=GateVerdict("INVALID", 4, rules, tuple(texts)),
        waivers=(WaiverUse(texts[4], texts[5], whole, "2026-02-01", "powerless"),),
    )  # fmt: skip


def hostile_home(home: Path, texts: Sequence[str]) -> str:
    """A store in which every text of `texts` is an answer of a model, a prompt and a reference; a reviewer's token.

    Example i: two arms answered text i and the text half the list further on; flags, criteria, practice, question, the
    error of a third arm and the task's description are hostile, too.
    """
    half = len(texts) // 2
    examples = [Example(f"e{i}", f"g{i}", (texts[i - 1],), prompt=texts[i - 2]) for i in range(half)]
    answers = {"one": texts[:half], "two": texts[half : 2 * half]}
    provenance = Provenance("0.1.0", None, None, {}, {}, "2026-01-01T00:00:00Z")
    task = {
        "name": "notes", "version": 1, "description": texts[0] + texts[1],
        "metrics": {"primary": "exact_match", "also": ["rouge_l"]},
    }  # fmt: skip
    record = ExperimentRecord(
        experiment_id="x1", name="hostile", file="hostile.yaml", spec={"reference": "one", "budget": {"examples": 10}},
        task=task, task_fingerprint="f", split_sizes={"train": 10, "validation": 2, "test": half}, leaks=(),
        base_hash="b", created="2026-01-01T00:00:00Z", groups={one.id: one.group for one in examples}, suite="s",
    )  # fmt: skip
    rows: list[object] = [record]
    for arm in (*answers, "three"):
        status, error = ("failed", " ".join(texts)) if arm == "three" else ("ok", None)
        run = RunRecord(f"t-{arm}", 1, arm, arm, 0, "final", status, error, Ledger(), provenance, None)
        rows += [run, Entry("x1", arm, 0, f"t-{arm}", 1, status, None if arm == "three" else f"v-{arm}")]
        given = [
            Prediction(f"v-{arm}", one.id, "h", text, "stop", 1, 1, 0.1)
            for one, text in zip(examples, answers.get(arm, ()), strict=False)
        ]
        if given:
            # One word right, so that every example is among those where the arms differ.
            scored = [Example(one.id, one.group, (answers["one"][i],), prompt="q") for i, one in enumerate(examples)]
            rows += [*given, *score_predictions(["exact_match", "rouge_l"], f"v-{arm}", given, scored)]
    store = Store(queries.database(home))
    store.ingest([*rows, hostile_gate(texts)])
    write_records(home / "sealed" / "notes-s" / "test.jsonl", examples)
    there = Round(
        id="r1", experiment="x1", arms=("one", "two"), evaluations={"one": "v-one", "two": "v-two"}, split="test",
        items=half, raters=1, queues=1, seed=7, instructions=" ".join(texts), criteria=(texts[0], texts[2]),
        flags=tuple(texts[3:6]), exclusion=ExclusionRule(gold_accuracy=None), gold=0, identical=0, repeats=0,
        opened=Stamp("2026-01-01T00:00:00+00:00", "owner"), practice=Practice(*texts[:3], "left", texts[1]),
        question=texts[3],
    )  # fmt: skip
    material = Material([one.id for one in examples], ["v-one", "v-two"], frozenset(), [])
    shown = [
        ReviewText("r1", one.id, source, text)
        for i, one in enumerate(examples)
        for source, text in (
            ("prompt", one.prompt or ""), ("reference", one.references[0]),
            ("v-one", answers["one"][i]), ("v-two", answers["two"][i]),
        )
    ]  # fmt: skip
    review.open_round(store, there, plan_round("r1", material, Design(half, 1, 1), 7), shown)
    return review.invite(store, "r1", "Ann")
