"""A bundle: the same bytes each time, tables that come again byte for byte, and nothing in it that must not leave."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.errors import DataError
from harness.records import Artefact
from harness.results.leaderboard.board import leaderboard
from harness.results.render import bundle
from harness.results.render.json import to_json
from harness.results.render.leaderboard import to_text


def members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def packed(maker: Any, tmp_path: Path) -> Path:
    file = tmp_path / "x.bundle.zip"
    file.write_bytes(bundle.pack(maker.results))
    return file


def test_the_same_results_give_the_same_bytes(maker: Any, make: Any) -> None:
    first, second = bundle.pack(maker.results), bundle.pack(make().results)
    assert first == second
    names = list(members(first))
    assert names == sorted(names)
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_results_come_back_and_their_board_is_the_same(maker: Any, packed: Path) -> None:
    assert bundle.read(packed) == replace(
        maker.results,
        **{name: tuple(getattr(maker.results, name)) for name in ("entries", "runs", "scores", "looks")},
    )
    ours, theirs = leaderboard(maker.results), leaderboard(bundle.read(packed))
    assert to_json(ours) == to_json(theirs)
    assert to_text(ours) == to_text(theirs)


def test_tables_come_again_to_the_byte(packed: Path) -> None:
    lines = bundle.check(packed)
    assert sum("the same" in line for line in lines) == 12
    assert "tables/leaderboard.md" in "\n".join(lines)


def test_a_bundle_of_the_first_schema_is_read_and_checked_on_the_tables_that_it_has(packed: Path) -> None:
    def older(files: dict[str, bytes]) -> None:
        for name in ("tables/appendix.md", "tables/appendix.tex", "tables/appendix.csv", "tables/figure-cost.csv"):
            del files[name]
        del files["results/logs.jsonl"]
        manifest = json.loads(files["manifest.json"])
        manifest["schema"] = "harness.bundle/1"
        manifest["files"] = {name: digest for name, digest in manifest["files"].items() if name in files}
        files["manifest.json"] = json.dumps(manifest).encode()

    old = rewritten(packed, older)
    assert bundle.read(old).logs == ()
    assert sum("the same" in line for line in bundle.check(old)) == 8


def test_the_rule_is_dated_and_looks_and_versions_are_there(packed: Path) -> None:
    found = members(packed.read_bytes())
    rule = json.loads(found["rule.json"])
    assert rule["declared"] == "2026-01-01T00:00:00Z"
    assert rule["task"]["metrics"]["primary"] == "rouge_l" and rule["budget"] == {"examples": 200}
    assert len(found["results/looks.jsonl"].splitlines()) == 6
    assert b'"harness_version": "0.1.0"' in found["versions.json"]


def rewritten(file: Path, change: Any) -> Path:
    files = members(file.read_bytes())
    change(files)
    out = file.with_name("changed.zip")
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out


def cut_score(files: dict[str, bytes]) -> None:
    files["results/scores.jsonl"] = files["results/scores.jsonl"].replace(b'"value": 1.0', b'"value": 0.0', 1)


def test_a_changed_score_is_seen(packed: Path) -> None:
    with pytest.raises(DataError, match=r"results/scores\.jsonl is not what the manifest says"):
        bundle.read(rewritten(packed, cut_score))


def test_a_changed_score_with_a_manifest_to_match_changes_a_table(packed: Path) -> None:
    def change(files: dict[str, bytes]) -> None:
        cut_score(files)
        manifest = json.loads(files["manifest.json"])
        manifest["files"]["results/scores.jsonl"] = hashlib.sha256(files["results/scores.jsonl"]).hexdigest()
        files["manifest.json"] = json.dumps(manifest).encode()

    with pytest.raises(DataError, match=r"tables/leaderboard\.\w+ comes out otherwise, first in line \d+"):
        bundle.check(rewritten(packed, change))


@pytest.mark.parametrize(("factor", "same"), [(1 + 1e-12, True), (1 + 1e-6, False)])
@pytest.mark.parametrize("table", ["leaderboard.json", "leaderboard.csv"])
def test_numbers_may_be_rounded_otherwise_and_no_more(packed: Path, table: str, factor: float, same: bool) -> None:
    def change(files: dict[str, bytes]) -> None:
        text = files[f"tables/{table}"].decode()
        number = max(re.findall(r"0\.\d+", text), key=len)
        files[f"tables/{table}"] = text.replace(number, repr(float(number) * factor), 1).encode()
        manifest = json.loads(files["manifest.json"])
        manifest["files"][f"tables/{table}"] = hashlib.sha256(files[f"tables/{table}"]).hexdigest()
        files["manifest.json"] = json.dumps(manifest).encode()

    other = rewritten(packed, change)
    if same:
        assert any(table in line and "the same but for rounding" in line for line in bundle.check(other))
    else:
        with pytest.raises(DataError, match=rf"tables/{table} comes out otherwise, first in line \d+"):
            bundle.check(other)


def test_what_is_no_bundle_is_refused_in_one_line(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("no zip")
    newer = rewritten(
        packed, lambda files: files.update({"manifest.json": b'{"schema": "harness.bundle/9", "files": {}}'})
    )
    bare = tmp_path / "bare.zip"
    with zipfile.ZipFile(bare, "w") as archive:
        archive.writestr("x", "y")
    cases = {
        tmp_path / "none.zip": "no such file",
        tmp_path / "text.zip": "no readable bundle",
        tmp_path: "no readable bundle",
        bare: "no readable bundle",
        newer: "schema harness.bundle/9",
    }
    for file, message in cases.items():
        with pytest.raises(DataError, match=message) as caught:
            bundle.check(file)
        assert "\n" not in str(caught.value)
    missing = rewritten(packed, lambda files: files.pop("results/looks.jsonl"))
    with pytest.raises(DataError, match=r"results/looks\.jsonl is not what the manifest says"):
        bundle.read(missing)


def test_paths_of_the_machine_are_left_out(maker: Any) -> None:
    artefact = Artefact("adapter", "/home/kim/models/base", "b", "artefact", "f", None, "c", "", "h")
    maker.runs[0] = replace(maker.runs[0], artefact=artefact, notes=("read /srv/secret place/x.json and ~/models/y",))
    results = maker.results
    spec = {
        **results.experiment.spec,
        "base_model": {"path": "/home/kim/models/base", "dtype": "float32"},
        "arms": [{"method": "imported", "path": "C:\\Users\\kim\\adapter"}],
        "chat": {"system": "Answer yes/no, or /no_think."},
        "endpoint": "http://localhost:8000/v1/completions",
    }
    found = members(bundle.pack(replace(results, experiment=replace(results.experiment, spec=spec))))
    every = b"\n".join(found.values())
    assert b"/home" not in every and b"kim" not in every and b"/srv" not in every and b"~/" not in every
    stored = json.loads(found["results/experiment.json"])["spec"]
    assert stored["base_model"] == {"path": "base", "dtype": "float32"}
    assert stored["arms"][0]["path"] == "adapter"
    assert stored["chat"]["system"] == "Answer yes/no, or /no_think."
    assert stored["endpoint"] == "http://localhost:8000/v1/completions"


def test_a_sensitive_task_leaves_without_ids_and_with_every_number(make: Any, tmp_path: Path) -> None:
    closed = make()
    closed.task["sensitive"] = True
    closed.runs[-1] = replace(closed.runs[-1], error="the prompt ZELDA HAS A COUGH is too long")
    results = closed.results
    zelda = {f"e{number}": f"zelda-{number}" for number in range(60)}
    groups = {zelda[item]: f"patient {group}" for item, group in results.groups.items()}
    scores = [replace(score, item=zelda.get(score.item, score.item)) for score in results.scores]
    leaks = (replace(results.experiment.leaks[0], kept="zelda-1", dropped="zelda-t9"),)
    experiment = replace(results.experiment, groups=groups, leaks=leaks)
    named = replace(results, experiment=experiment, groups=groups, scores=scores)
    file = tmp_path / "closed.zip"
    file.write_bytes(bundle.pack(named))
    every = b"\n".join(members(file.read_bytes()).values()).lower()
    assert not [word for word in (b"zelda", b"patient g", b"cough") if word in every]
    assert bundle.check(file)
    ours, theirs = (to_json(leaderboard(one)) for one in (named, bundle.read(file)))
    for row in (*ours["rows"], *theirs["rows"]):
        row.pop("errors")
    assert ours == theirs
