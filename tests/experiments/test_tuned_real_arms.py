"""Equal tuning of real arms of the embedded base on a few visits: full, LoRA, DPO after LoRA, and its control."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from shell_calls import Answer, Shell

from harness.arms.training.order import derived_seeds
from harness.results import queries
from harness.store import Store

pytestmark = pytest.mark.real

SHORT = "allow_unreachable: short answers are enough here\n"

ROOT = Path(__file__).parents[2]
EXPERIMENT = f"""
task: task
base_model: {ROOT / "baselines" / "base"}
arms: [untrained, full, lora, dpo, sft_continued]
budget: {{examples: 8}}
tuning: {{trials: 2, learning_rate: log, examples: 2}}
resources: {{threads: 1, device: cpu}}
"""


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small copy of visit_notes, and the experiment over it after one run."""
    folder = tmp_path_factory.mktemp("visits")
    shutil.copytree(ROOT / "tasks" / "visit_notes", folder / "task")
    task = folder / "task" / "task.yaml"
    text = SHORT + task.read_text().replace("visits: 1000", "visits: 30").replace(
        "max_new_tokens: 150", "max_new_tokens: 8"
    )
    without_lm_eval = "".join(line + "\n" for line in text.splitlines() if not line.startswith("lm_eval:"))
    task.write_text(without_lm_eval)
    retention = folder / "task" / "retention.jsonl"
    retention.write_text(retention.read_text().splitlines()[0] + "\n")
    arm = (ROOT / "baselines" / "arms" / "dpo.yaml").read_text().replace("examples: 200", "examples: 8")
    (folder / "dpo.yaml").write_text(arm)
    (folder / "tuned.yaml").write_text(EXPERIMENT.replace("dpo,", "dpo.yaml,"))
    return folder


@pytest.fixture(scope="module")
def stored(visits: Path) -> Store:
    """The store after the experiment ran."""
    from harness.experiments import pipeline
    from harness.progress import Reporter

    with Reporter() as reporter, pytest.MonkeyPatch.context() as patch:
        patch.chdir(visits)
        assert not pipeline.run(Path("tuned.yaml"), Path(".harness"), reporter).failed
    return queries.open_store(visits / ".harness")


def test_every_trained_arm_has_its_trials_and_none_looked_at_the_test_split(stored: Store) -> None:
    record = stored.experiments()[-1]
    trials = stored.trials(record.experiment_id)
    tuned = ("dpo", "full", "lora", "sft_continued")
    assert sorted({(t.arm, t.number) for t in trials}) == [(arm, n) for arm in tuned for n in (0, 1)]
    assert {trial.status for trial in trials} == {"ok"}
    assert all(trial.value is not None and trial.loss is not None and trial.validated == 2 for trial in trials)
    assert len({trial.loss for trial in trials}) == 8
    looks = stored.looks()
    entries = stored.entries(record.experiment_id)
    assert {look.eval_id for look in looks} == {entry.eval_id for entry in entries} and len(looks) == 5


def test_dpo_is_tuned_from_the_chosen_trial_of_its_parent(stored: Store) -> None:
    record = stored.experiments()[-1]
    trials = stored.trials(record.experiment_id)
    chosen = next(trial for trial in trials if trial.arm == "lora" and trial.chosen)
    runs = stored.runs([trial.train_id for trial in trials if trial.arm == "dpo"])
    assert {run.parent_train_id for run in runs} == {chosen.train_id}
    finals = {entry.arm: entry.train_id for entry in stored.entries(record.experiment_id)}
    assert stored.runs([finals["dpo"]])[0].parent_train_id == finals["lora"] != chosen.train_id


def test_a_control_is_tuned_from_the_same_trial_and_gets_what_its_dpo_arm_gets(stored: Store) -> None:
    record = stored.experiments()[-1]
    trials = stored.trials(record.experiment_id)
    parent = next(trial for trial in trials if trial.arm == "lora" and trial.chosen)
    by_arm = {
        arm: stored.runs([trial.train_id for trial in trials if trial.arm == arm]) for arm in ("dpo", "sft_continued")
    }
    assert {run.parent_train_id for run in by_arm["sft_continued"]} == {parent.train_id}
    given = {arm: {run.ledger.tokens for run in runs} for arm, runs in by_arm.items()}
    assert len(given["dpo"]) == len(given["sft_continued"]) == 1
    dpo, control = given["dpo"].pop(), given["sft_continued"].pop()
    examples = by_arm["sft_continued"][0].ledger.examples
    # It ends with the example that reaches DPO's tokens.
    assert dpo <= control < dpo + 3 * control / examples


def test_arms_of_one_training_seed_share_seeds_that_finals_do_not_share_with_trials(stored: Store) -> None:
    record = stored.experiments()[-1]
    trials = stored.runs([trial.train_id for trial in stored.trials(record.experiment_id)])
    finals = stored.runs([entry.train_id for entry in stored.entries(record.experiment_id)])
    assert all(run.seeds == derived_seeds(1000) and run.role == "trial" for run in trials)
    assert all(run.seeds == (derived_seeds(0) if run.seed == 0 else {}) and run.role == "final" for run in finals)
    assert not set(derived_seeds(0).values()) & set(derived_seeds(1000).values())
    ledgers = [run.ledger for run in trials if run.arm in ("full", "lora")]
    assert {(ledger.examples, ledger.tokens) for ledger in ledgers} == {(8, ledgers[0].tokens)}


def test_the_chosen_rates_stand_side_by_side(
    stored: Store, visits: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(visits)
    found: dict[str, Any] = {one["arm"]: one for one in json.loads(shell("tuning", "--json").out)["arms"]}
    text: Answer = shell("tuning")
    lines = {line.split()[0]: line for line in text.out.splitlines() if line.startswith(("full ", "lora "))}
    for arm in ("full", "lora"):
        assert f"{found[arm]['chosen']['learning_rate']:g}" in text.out
        assert arm in lines
    assert "Looks at the test split by trials: 0" in text.out
    again = shell("run", "tuned.yaml")
    assert again.code == 0 and "nothing to train" in again.err
