"""The app over a real store, through Streamlit's AppTest: an empty home, a leaderboard, a failed arm, a broken file."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from harness import review
from harness.app.access import owner_token
from harness.metrics import score_predictions
from harness.records import (
    Entry,
    Example,
    ExclusionRule,
    ExperimentRecord,
    Ledger,
    Prediction,
    Provenance,
    ReviewText,
    Round,
    RunRecord,
    Stamp,
)
from harness.results.queries import database
from harness.review.plan import Design, Material, plan_round
from harness.store import Store

APP = Path(__file__).parents[2] / "app.py"


@pytest.fixture
def page(tmp_path, monkeypatch):
    """Runs the app over the home folder `tmp_path`."""
    from streamlit.testing.v1 import AppTest

    monkeypatch.setenv("HARNESS_HOME", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["app.py"])

    def opened(token: str | None = None, page: str = "leaderboard") -> AppTest:
        app = AppTest.from_file(str(APP), default_timeout=60)
        given = owner_token(tmp_path) if token is None else token
        if given:
            app.query_params["token"] = given
        app.run()
        return app if page == "leaderboard" else app.switch_page(f"harness/app/pages/{page}.py").run()

    return opened


def experiment(number: int) -> ExperimentRecord:
    return ExperimentRecord(
        experiment_id=f"x{number}",
        name=f"trial-{number}",
        file="trial.yaml",
        spec={"reference": "untrained", "budget": {"examples": 10}},
        task={"name": "notes", "version": 1, "metrics": {"primary": "exact_match", "also": ["rouge_l"]}},
        task_fingerprint="f",
        split_sizes={"train": 10, "validation": 2, "test": 6},
        leaks=(),
        base_hash="b",
        created=f"2026-01-0{number}T00:00:00Z",
        groups={f"e{i}": f"g{i}" for i in range(6)},
    )


def fill(home: Path) -> None:
    """Two experiments; in the newer one `lora` answers well, `untrained` badly, `full` ran out of memory."""
    provenance = Provenance("0.1.0", None, None, {}, {}, "2026-01-01T00:00:00Z")
    examples = [Example(f"e{i}", f"g{i}", (f"answer {i}",), prompt="q") for i in range(6)]
    rows: list[object] = [experiment(1), experiment(2)]
    for arm, right in (("untrained", 1), ("lora", 5), ("full", None)):
        status, error = ("ok", None) if right is not None else ("oom", "out of memory")
        rows.append(
            RunRecord(f"t-{arm}", 1, arm, arm, 0, "final", status, error, Ledger(predict_seconds=1), provenance, None)
        )
        rows.append(Entry("x2", arm, 0, f"t-{arm}", 1, status, f"v-{arm}" if right is not None else None))
        if right is not None:
            answers = [
                Prediction(f"v-{arm}", one.id, "h", one.references[0] if i < right else "no", "stop", 1, 1, 0.1)
                for i, one in enumerate(examples)
            ]
            rows += [*answers, *score_predictions(["exact_match", "rouge_l"], f"v-{arm}", answers, examples)]
    Store(database(home)).ingest(rows)


def reviewer(home: Path) -> str:
    """Open a round of two pairs over the experiment; the token of its only reviewer."""
    store = Store(database(home))
    there = Round(
        id="r1", experiment="x2", arms=("lora", "untrained"), split="test",
        evaluations={"lora": "v-lora", "untrained": "v-untrained"},
        items=2, raters=1, queues=1, seed=1, instructions="Choose.", criteria=("style",),
        flags=("invented",), exclusion=ExclusionRule(gold_accuracy=None), gold=0, identical=0, repeats=0,
        opened=Stamp("2026-01-01T00:00:00+00:00", "owner"), question="Which one is new?",
    )  # fmt: skip
    material = Material(["e1", "e2"], ["v-lora", "v-untrained"], frozenset(), [])
    sources = ("prompt", "reference", "v-lora", "v-untrained")
    texts = [ReviewText("r1", name, source, f"text {name}") for name in ("e1", "e2") for source in sources]
    review.open_round(store, there, plan_round("r1", material, Design(2, 1, 1), 1), texts)
    return review.invite(store, "r1", "Ann")


def written(app) -> str:
    shown = [*app.title, *app.markdown, *app.info, *app.success, *app.warning, *app.error, *app.subheader]
    return "\n".join(element.value for element in shown)


def test_an_empty_home_says_what_to_run(page, tmp_path):
    app = page()
    assert not app.exception
    assert "No experiment is stored" in app.info[0].value
    assert "harness run baselines/visit_notes.yaml" in app.info[0].value
    assert [file.name for file in tmp_path.iterdir()] == ["owner.token"], "looking makes no database"


def test_the_newest_experiment_is_shown_with_its_failed_arm(page, tmp_path):
    fill(tmp_path)
    app = page()
    assert not app.exception
    text = written(app)
    assert app.selectbox(key="experiment").value == "x2"
    assert "exact_match ↑ [95 %]" in text
    assert (app.info or app.success)[0].value.startswith("**Verdict on these checkpoints: ")
    assert "Default winner rule (every difference matters): no rule was declared before the run." in text
    assert text.index("| lora | 0.833") < text.index("| untrained | 0.167")
    assert app.warning[0].value == "full: seed 0: oom: out of memory"
    assert "say nothing about other seeds" in text
    assert [one.label for one in app.expander] == [
        "exact_match: higher is better",
        "rouge_l: higher is better",
        "As Markdown, to copy",
    ]


def test_another_experiment_can_be_chosen(page, tmp_path):
    fill(tmp_path)
    app = page()
    app.selectbox(key="experiment").select_index(1).run()
    assert not app.exception
    assert app.selectbox(key="experiment").value == "x1"
    assert "| lora |" not in written(app)


def test_a_database_that_is_none_is_one_line(page, tmp_path):
    database(tmp_path).write_bytes(b"not a database" * 100)
    app = page()
    assert not app.exception
    assert len(app.error) == 1
    assert "harness.duckdb" in app.error[0].value


def test_the_home_folder_may_come_as_an_argument(page, tmp_path, monkeypatch):
    fill(tmp_path / "elsewhere")
    monkeypatch.setattr("sys.argv", ["app.py", "--home", str(tmp_path / "elsewhere")])
    app = page(owner_token(tmp_path / "elsewhere"))
    assert not app.exception
    assert app.selectbox(key="experiment").value == "x2"
    assert not page(owner_token(tmp_path)).selectbox, "the other folder's token opened it"


OWNED = ("leaderboard", "compare", "training", "tradeoffs", "data", "gates")
FULL = {
    "leaderboard": "| lora | 0.833",
    "compare": "lora is better",
    "training": "No training log",
    "tradeoffs": "On the Pareto front",
    "data": "Nothing has been scored on this test split",
    "gates": "No verdict of a gate is stored",
}


@pytest.mark.parametrize("name", OWNED)
@pytest.mark.parametrize("full", [False, True])
def test_the_owner_sees_every_page(page, tmp_path, name, full):
    if full:
        fill(tmp_path)
    app = page(page=name)
    assert not app.exception and not app.error
    assert (FULL[name] if full else "No experiment is stored") in written(app)


@pytest.mark.parametrize("token", ["", "no" * 30, "\u00e9\ud7ff"])
@pytest.mark.parametrize("full", [False, True])
def test_without_a_valid_token_there_is_one_sentence(page, tmp_path, full, token):
    if full:
        fill(tmp_path)
        reviewer(tmp_path)
    app = page(token)
    assert not app.exception
    assert [element.value for element in [*app.title, *app.markdown]] == [
        "Please use your link",
        "This address opens with the link that you were sent. If it has stopped working, ask for a new one.",
    ]
    assert not [*app.selectbox, *app.button, *app.error, *app.info]


def test_a_reviewer_cannot_reach_the_owners_pages(page, tmp_path):
    fill(tmp_path)
    token = reviewer(tmp_path)
    app = page(token)
    assert not app.exception and "Thank you for reviewing" in written(app)
    assert not app.selectbox and "lora" not in str(app.main)
    for name in OWNED[1:]:
        with pytest.raises(ValueError, match="Could not find a navigation page"):
            page(token, name)


def test_a_reviewer_votes_takes_back_and_comes_to_the_end(page, tmp_path):
    fill(tmp_path)
    token = reviewer(tmp_path)

    def press(app, words):
        time.sleep(0.55)  # a choice that comes sooner is taken for a second click
        return next(one for one in app.button if one.label == words).click().run()

    app = press(page(token), "Begin")
    assert not app.exception
    app = press(press(app, "Left is better"), "Take back")
    app = press(press(app, "Equally good"), "Skip")
    assert not app.exception and "You have judged **2** pairs" in written(app)
    app = press(app, "I cannot tell")
    assert not app.exception and "One last question" not in written(app)
    review.close(Store(database(tmp_path)), "r1", "owner", "enough")
    assert "This review is closed" in written(page(token))
    review.revoke(Store(database(tmp_path)), "r1", "Ann")
    assert "Please use your link" in written(page(token))
