"""Home folders to look at: a finished experiment of toy arms with a round, and one whose every text is hostile."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness import queries, review
from harness.records import Example, ExclusionRule, Judgment, Practice, ReviewText, Round, Stamp
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
    from harness import pipeline
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
        from harness.records import Assignment

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
