"""What a gate looks up in a store beside scores: the untrained arm, columns, votes; and the whole command with them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gate_worlds import Arm, as_scored, record, rule
from shell_calls import Shell
from test_gate_subjects import Votes, a_round, mostly, served

from harness.config import GateRule
from harness.records import Example, ExperimentRecord, Round, Stamp
from harness.records.files import write_records
from harness.release import baselines
from harness.release.gate import inputs
from harness.release.gate.evidence import GateInputs
from harness.release.gate.inputs import CandidateRun
from harness.store import Store

N = 40
HALF = [1.0, 0.0] * (N // 2)
FLAG = rule(flag="fabrication", ceiling=0.1)
UNTRAINED = rule(metric="retention_perplexity", margin=1, against="untrained")
SLICE = rule(metric="exact_match", margin=0.5, slice={"site": "north"}, minimum_examples=0)
LATER = Stamp("2026-04-01T00:00:00+00:00", "boss", "x")


def experiment() -> ExperimentRecord:
    return record(N, suite="s")


def home(folder: Path, *arms: Arm, rounds: tuple[Round, ...] = (), **changes: Any) -> CandidateRun:
    """A store with these arms and rounds; the first arm is the candidate."""
    of = replace(experiment(), **changes)
    store = Store(folder / "harness.duckdb")
    rows: list[Any] = [of]
    for arm in arms:
        rows += [arm.run, arm.entry, arm.evaluation, *arm.predictions, *arm.scores]
    store.ingest(rows)
    with store.session() as session:
        for there in rounds:
            session.write(there)
    return CandidateRun(store, folder, of, arms[0].entry, arms[0].run)


def lookups(run: CandidateRun, rules: list[GateRule], *, hide: bool = False) -> GateInputs:
    """What is looked up for these rules."""
    candidate = inputs.scored(run)
    return inputs.with_lookups(GateInputs(candidate, candidate), run, rules, hide=hide)


def sealed(folder: Path) -> None:
    file = folder / "sealed" / "notes-s" / "test.jsonl"
    file.parent.mkdir(parents=True)
    examples = [
        Example(f"e{n}", f"g{n}", ("r",), "p", fields={"site": "north" if n < 25 else "south"}) for n in range(N)
    ]
    write_records(file, examples)


NEW = Arm("new", HALF, [25.0] * 8)


def test_only_what_a_rule_asks_for_is_looked_up(tmp_path: Path) -> None:
    at = home(tmp_path, NEW)
    known = lookups(at, [rule(metric="exact_match", margin=0.1)])
    assert all(isinstance(value, str) for value in (known.untrained, known.columns, known.votes))


def test_the_untrained_arm_is_found_by_its_method(tmp_path: Path) -> None:
    plain = Arm("untrained", HALF, [26.0] * 8, method="untrained")
    other = Arm("prompted", HALF, [27.0] * 8, method="untrained")
    at = home(tmp_path, NEW, other, plain)
    known = lookups(at, [UNTRAINED])
    assert not isinstance(known.untrained, str) and known.untrained.arm == "untrained"
    assert known.untrained.scores and known.untrained.measures["train_seconds"].value == 10.0
    without = home(tmp_path / "b", NEW)
    assert "has no untrained arm" in lookups(without, [UNTRAINED]).untrained
    two = home(tmp_path / "c", NEW, other, replace(other, name="prompted-2"))
    assert "several untrained arms (prompted, prompted-2)" in lookups(two, [UNTRAINED]).untrained


def test_columns_come_from_the_sealed_split_hashed_where_the_baseline_is(tmp_path: Path) -> None:
    at = home(tmp_path, NEW)
    assert "run the experiment again" in lookups(at, [SLICE]).columns
    sealed(tmp_path)
    plain = lookups(at, [SLICE]).columns
    assert plain["e3"] == {"site": "north"} and len(plain) == N
    quiet = lookups(at, [SLICE], hide=True).columns
    assert quiet.keys() == {score.item for score in baselines.hidden(as_scored(NEW, experiment())).scores[:N]}


@pytest.mark.parametrize(
    ("rounds", "words"),
    [
        ((), "nobody has reviewed new: `harness review open short --arms new,OTHER`"),
        ((a_round(unblinded=None),), 'the round r1 is still open: `harness review unblind r1 --reason "…"`'),
        (
            (a_round(unblinded=None, closed=LATER),),
            "the round r1 is closed but still blind: `harness review unblind r1",
        ),
        (
            (a_round(evaluations={"new": "eval-earlier", "lora": "l"}),),
            "the round r1 judged another model or evaluation",
        ),
        ((a_round(arms=("lora", "dpo")),), "nobody has reviewed new"),
        ((a_round(experiment="x9"),), "nobody has reviewed new"),
    ],
)
def test_what_has_no_unblinded_round_says_how_to_go_on(tmp_path: Path, rounds: tuple[Round, ...], words: str) -> None:
    known = lookups(home(tmp_path, NEW, rounds=rounds), [FLAG])
    assert isinstance(known.votes, str) and words in known.votes


def test_the_newest_unblinded_round_counts(tmp_path: Path) -> None:
    rounds = (a_round(), a_round(id="r2", unblinded=LATER), a_round(id="r3", unblinded=None))
    known = lookups(home(tmp_path, NEW, rounds=rounds), [FLAG])
    assert not isinstance(known.votes, str) and known.votes.round.id == "r2"


def test_answers_of_the_same_model_to_other_prompts_count(tmp_path: Path) -> None:
    there = a_round(split="validation", evaluations={"new": "answers-1", "lora": "l"})
    at = home(tmp_path, NEW, rounds=(there,))
    assert "another model" in lookups(at, [FLAG]).votes
    at.store.ingest([replace(NEW.evaluation, eval_id="answers-1", suite_fingerprint="answers")])
    assert not isinstance(lookups(at, [FLAG]).votes, str)


GATES = """
baseline: base-1
rules:
  - {metric: exact_match, margin: 0.3}
  - {metric: exact_match, margin: 0.45, slice: {site: north}}
  - {metric: retention_perplexity, margin: 0.5, against: untrained}
  - {metric: human_win_rate, floor: 0.5, minimum_votes: 100, minimum_agreement: 0.2}
  - {flag: fabrication, ceiling: 0.12}
  - {measure: artefact_bytes, times: 1.1}
  - {measure: tokens_per_second, times: 0.8}
"""


def test_a_gate_with_every_kind_of_rule(
    tmp_path: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    old = replace(NEW, name="old", values=[*HALF[:-2], 1.0, 1.0])
    start = replace(NEW, name="untrained", method="untrained", values=[0.0] * N, retention=[25.1] * 7 + [25.0])
    folder = tmp_path / ".harness"
    at = home(folder, NEW, old, start)
    sealed(folder)
    one, two = served([100.0, 101, 99, 100, 102, 98], "new"), served([100.0, 99, 101, 100, 98, 102], "old")
    at.store.ingest([replace(one, arms=(*one.arms, *two.arms))])
    made = Votes()
    for example in range(N):
        for rater in range(8):
            made.add(f"Rater {rater}", f"e{example}", mostly(example, rater))
    with at.store.session() as session:
        session.write(made.round, *made.assignments, *made.votes.values())
    assert shell("release", "short/old", "--as", "base-1", "--in", ".").code == 0
    (tmp_path / "gates.yaml").write_text(GATES)
    found = shell("gate", "gates.yaml", "--candidate", "short/new", "--json", "--home", ".harness")
    told = {one["rule"]: one for one in json.loads(found.out)["rules"]}
    assert found.code == 0, found.out
    assert [one["outcome"] for one in told.values()] == ["PASS"] * 7
    assert told["exact_match [site=north] margin 0.45"]["estimate"]["n"] == 25
    (tmp_path / "gates.yaml").write_text(GATES.replace("times: 1.1", "times: 0.9").replace("0.12", "0.01"))
    worse = shell("gate", "gates.yaml", "--candidate", "short/new", "--json")
    outcomes = {one["rule"]: one["outcome"] for one in json.loads(worse.out)["rules"]}
    assert worse.code == 1, worse.out
    assert outcomes["artefact_bytes times 0.9"] == "FAIL"
    assert outcomes["flag fabrication ceiling 0.01"] == "INCONCLUSIVE"
