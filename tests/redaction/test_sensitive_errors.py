"""What goes wrong with a sensitive task's data is said without the data; with any other task's it is quoted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from wards import canaries, canary, row, write

from harness import redaction

Spoil = Callable[[Path], None]


def rows_of(change: Callable[[list[dict[str, Any]]], object]) -> Spoil:
    """Changes the data."""

    def spoil(task: Path) -> None:
        rows = [row(number) for number in range(1, 41)]
        change(rows)
        (task / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))

    return spoil


def text_of(old: str, new: str, file: str = "task.yaml") -> Spoil:
    """Changes a file."""

    def spoil(task: Path) -> None:
        text = (task / file).read_text()
        assert old in text
        (task / file).write_text(text.replace(old, new))

    return spoil


def both(*spoils: Spoil) -> Spoil:
    """One after the other."""
    return lambda task: [spoil(task) for spoil in spoils] and None


def leaking(task: Path) -> None:
    """Data that comes split, the same prompt on two sides."""
    for side, first in (("train", 1), ("validation", 30), ("test", 50)):
        rows = [row(number) for number in range(first, first + 20)]
        rows[0]["words"], rows[0]["answer"] = "the same of all", "and the answer too"
        (task / f"{side}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    text_of("{path: rows.jsonl,", "{files: {train: train.jsonl, validation: validation.jsonl, test: test.jsonl},")(task)
    text_of("splits: {test: 0.4, validation: 0.2}\n", "")(task)
    text_of("leakage: {drop: train}\n", "")(task)


BUILDER = f"""
def build():
    raise ValueError("cannot read {canary("words", 3)}")
"""
SPOILT: dict[str, Spoil] = {
    "an id twice": rows_of(lambda rows: rows[1].update(id=rows[2]["id"])),
    "a line that is no object": lambda task: (task / "rows.jsonl").write_text(json.dumps(canary("answer", 1))),
    "a leak": leaking,
    "a template that fails": text_of(
        'target: "{{ answer }}"', 'target: "{{ answer.split()[0]|int / nested[answer] }}"'
    ),
    "a metric that fails": text_of(
        "return float", "raise ValueError(references[0] + example['id'])\n    return float", "mine.py"
    ),
    "a metric without bounds": text_of("return float(prediction == references[0])", "return 1e400", "mine.py"),
    "a builder that fails": both(
        text_of("{path: rows.jsonl,", '{builder: "build.py:build",'),
        lambda task: (task / "build.py").write_text(BUILDER),
    ),
    "retention twice": lambda task: (task / "retention.jsonl").write_text(
        2 * (json.dumps({"id": canary("id", 1), "text": "x"}) + "\n")
    ),
    "a role": both(
        rows_of(lambda rows: [one.update(turns=[{"role": canary("extra", 1), "content": "x"}] * 2) for one in rows]),
        text_of('prompt: "Say: {{ words }} {{ answer }}"\ntarget: "{{ answer }}"', "messages: turns"),
    ),
}


@pytest.mark.parametrize("name", SPOILT)
def test_an_error_quotes_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, called: Any) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path(), [row(number) for number in range(1, 41)])
    SPOILT[name](Path("task"))
    code, said = called("check", "task")
    assert code == 2 and said.startswith("harness: ") and "Traceback" not in said
    assert canaries(said.encode()) == []
    task = Path("task/task.yaml")
    task.write_text(task.read_text().replace("sensitive: true", "sensitive: false"))
    open_code, open_said = called("check", "task")
    assert open_code == 2
    assert canaries(open_said.encode()), open_said


def test_a_scoring_that_fails_is_recorded_without_the_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, called: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path(), [row(number) for number in range(1, 81)])
    broken = text_of(
        "return float",
        "if prediction != references[0]:\n        raise ValueError(prediction)\n    return float",
        "mine.py",
    )
    broken(Path("task"))
    text = Path("wards.yaml").read_text()
    for line in ("tuning: {trials: 2, learning_rate: log}\n", "data_fraction: [0.5, 1.0]\n"):
        text = text.replace(line, "")
    Path("wards.yaml").write_text(text[: text.index("serving:")] + text[text.index("reference:") :])
    code, said = called("run", "wards.yaml")
    assert code == 6 and "the metric failed at" in said
    said += "".join(called(words)[1] for words in ("ledger", "leaderboard", "report", "bundle"))
    assert canaries(said.encode()) == []
    made = [Path("reports/wards.html"), Path("reports/wards.md"), Path("wards.bundle.zip")]
    assert [canaries(path.read_bytes()) for path in made] == [[], [], []]


def test_a_bug_prints_where_it_is_and_not_what_it_says(called: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.results import queries

    for sensitive in (True, False):

        def fails(*_: object, sensitive: bool = sensitive) -> None:
            with redaction.texts(sensitive):
                raise RuntimeError(canary("words", 1))

        monkeypatch.setattr(queries, "store_info", fails)
        code, said = called("store", "info")
        assert code == 70 and "in fails" in said and "this is a bug" in said
        assert bool(canaries(said.encode())) != sensitive
        assert not redaction.active()


ENDPOINT = "  - {{method: endpoint, url: {url}, model: m, api: completions, retries: 0, timeout: 1}}\n"


def test_an_endpoint_elsewhere_is_refused_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, called: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path(), [row(number) for number in range(1, 81)])
    text = Path("wards.yaml").read_text()
    arm = ENDPOINT.format(url="http://models.example/v1")
    Path("wards.yaml").write_text(text.replace("seeds:", f"{arm}seeds:"))
    for command in ("run", "plan"):
        code, said = called(command, "wards.yaml")
        assert code == 2 and "models.example is another machine" in said and "127.0.0.1" in said
    assert called.connected == []
