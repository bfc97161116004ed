"""Of a sensitive task no text and no id leaves the home folder: not in a file, not on a stream, not over a network."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from wards import FIELDS, canaries, canary, leaks, row, write

ROOT = Path(__file__).parents[2]
APART = ("task", ".harness")
"""Where texts may stand: what the person wrote, and the home folder (store, evaluations, tasks, sealed splits, …)."""


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory, called: Any) -> Path:
    """A folder in which every command has written what it writes."""
    folder = tmp_path_factory.mktemp("wards")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("GITHUB_ACTIONS", "true")
        write(Path(), [row(number) for number in range(1, 81)])
        for code, words in COMMANDS:
            found, said = called(*words.split())
            assert found == code, f"{words}: {said}"
        reviewed(called)
    return folder


COMMANDS = [
    (0, "check wards.yaml"),
    (0, "check task"),
    (0, "plan wards.yaml --calibrate"),
    (6, "run wards.yaml"),
    (6, "run wards.yaml --json"),
    *((0, f"leaderboard --format {form}") for form in ("text", "markdown", "csv", "latex")),
    (0, "leaderboard --json"),
    (0, "compare strong weak"),
    (0, "compare strong weak --json"),
    *((0, f"{what}{form}") for what in ("ledger", "looks", "tuning", "curve") for form in ("", " --json")),
    (0, "score --metric chrf"),
    (0, "serving wards.yaml --json"),
    (0, "sentinel wards.yaml"),
    (0, "figures --out figures --format svg"),
    *((0, f"appendix --format {form}") for form in ("markdown", "latex", "csv")),
    (0, "bundle --out wards.zip"),
    (0, "bundle --check wards.zip"),
    (0, "leaderboard --bundle wards.zip"),
    (0, "release wards/strong --as strong-1 --in released --anyway because"),
    (2, "release wards/broken --as broken-1 --in released --anyway because"),
    (1, "gate gates.yaml --candidate wards/weak --junit gate.xml --markdown gate.md"),
    (1, "gate gates.yaml --candidate wards/weak --json"),
    (0, f"preview task --model {ROOT / 'baselines' / 'base'}"),
    (0, "store info --json"),
    (0, "store rebuild"),
    (0, "report wards --to reports --samples 5"),
    (0, "report wards --to reports-of-bundle --bundle wards.zip"),
]


def reviewed(called: Any) -> None:
    """A round of review from its opening to its results, with a comment that holds a canary."""
    from harness.records import Assignment, Round
    from harness.results import queries

    # Items are drawn from a secret seed, and arms agree on many: asked too, so that there are votes on several.
    opened = ["review", "open", "wards.yaml", "--arms", "strong,weak", "--items", "8", "--raters", "1"]
    assert called(*opened, "--ask-identical")[0] == 0
    with queries.open_store(Path(".harness")).session() as session:
        there = session.read(Round)[0]
        tokens = [a.token for a in session.read(Assignment) if a.kind != "practice"]
    assert called("review", "invite", there.id, "Ann")[0] == 0
    votes = [{"token": one, "rater": "Ann", "winner": "left", "comment": canary("answer", 1)} for one in tokens]
    Path("task", "votes.jsonl").write_text("".join(json.dumps(vote) + "\n" for vote in votes))
    for code, words in (
        (0, "review status"),
        (2, f"review bundle {there.id} --out round"),
        (0, "review import task/votes.jsonl"),
        (0, f"review unblind {there.id} --reason done"),
        (0, f"review results {there.id}"),
        (0, f"review results {there.id} --json"),
        (0, f"review export {there.id} --as votes-csv --out votes.csv"),
        (0, f"review export {there.id} --as votes-jsonl"),
        (2, f"review export {there.id} --as preferences --out preferences.jsonl"),
        (0, "leaderboard --json"),
        (0, "bundle --out reviewed.zip"),
        (0, "report wards.yaml --to reports"),
    ):
        found, said = called(*words.split())
        assert found == code, f"{words}: {said}"


def test_the_home_folder_holds_what_may_leak(worked: Path) -> None:
    """Without this the other tests could not fail."""
    home = {name for found in leaks(worked, ("task",)).values() for name in found}
    assert home == set(FIELDS)
    rooms = {name.split("/")[1] for name in leaks(worked, ("task",))}
    store = {name for name in rooms if name.startswith("harness.duckdb")}
    assert store and rooms - store == {"boards", "evals", "experiments", "sealed", "tasks", "validations"}


def test_no_file_outside_the_home_folder_holds_a_canary(worked: Path) -> None:
    assert leaks(worked, APART) == {}
    made = {str(path.relative_to(worked)) for path in worked.rglob("*") if path.is_file()}
    assert made >= {
        "reports/wards.html", "reports/wards.md", "reports-of-bundle/wards.html", "gate.xml", "gate.md", "wards.zip",
        "reviewed.zip", "released/strong-1/release.json", "released/strong-1/scores.csv", "figures/cost.svg",
        "votes.csv",
    }  # fmt: skip
    assert not made & {"preferences.jsonl", "round/items.jsonl"}


def test_no_command_says_a_canary(worked: Path, called: Any) -> None:
    said = called.said.read_bytes()
    assert canaries(said) == []
    assert b"::warning" in said or b"::error" in said
    assert b"the task is sensitive" in said


def test_nothing_is_asked_of_another_machine(worked: Path, called: Any) -> None:
    assert called.connected == []


def test_the_report_says_that_it_withholds(worked: Path) -> None:
    for name in ("wards.html", "wards.md"):
        text = (worked / "reports" / name).read_text()
        assert "the task is sensitive, and no text of it leaves the store" in text
        assert "Human review" in text and "Tuning" in text and "Serving" in text


def test_votes_leave_without_comments_and_ids(worked: Path) -> None:
    rows = list(csv.DictReader((worked / "votes.csv").read_text().splitlines()))
    assert rows and all(one["comment"] == "" and one["example"] for one in rows)
    assert len({one["example"] for one in rows if one["kind"] == "ordinary"}) > 1


@pytest.mark.parametrize("form", ["utf-8", "utf-16-le", "utf-16-be", "base64", "percent", "hex", "upper", "zip"])
def test_a_canary_is_found_in_every_form(form: str) -> None:
    import base64
    import io
    import zipfile

    text = f"before {canary('ward', 7)} behind"
    if form == "zip":
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a", text * 50)
        data = target.getvalue()
    else:
        data = {
            "base64": lambda: base64.b64encode(text.encode()),
            "percent": lambda: "".join(f"%{byte:02X}" for byte in text.encode()).encode(),
            "hex": lambda: text.encode().hex().encode(),
            "upper": lambda: text.upper().encode(),
        }.get(form, lambda: text.encode(form))()
    assert canaries(data) == ["ward"]
    assert canaries(b"Zebra quota of a ward") == []
