"""The app over a real store, through Streamlit's AppTest: an empty home, a leaderboard, a failed arm, a broken file."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.access import owner_token
from harness.metrics import score_predictions
from harness.queries import database
from harness.records import (
    Entry,
    Example,
    ExperimentRecord,
    Ledger,
    Prediction,
    Provenance,
    RunRecord,
)
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
        return app if page == "leaderboard" else app.switch_page(f"harness/pages/{page}.py").run()

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


def written(app) -> str:
    return "\n".join(element.value for element in [*app.markdown, *app.info, *app.success, *app.warning, *app.error, *app.subheader])


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
