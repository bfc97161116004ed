"""Pinned release baselines: a folder that stands in the repository and is read in a review of changes.

    baselines/released/NAME/release.json    what was released, its fingerprints, and the digest of the scores
    baselines/released/NAME/scores.csv      one line for each score: item, group, metric, value or statistics

A gate needs no database: the two files hold all that a candidate is held against. Of a sensitive task no id of an
example or group leaves: both are hashed with the suite's fingerprint, so that candidate and baseline still pair.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from harness.errors import DataError, HarnessError, UsageError
from harness.metrics import METRICS, Metric
from harness.records import (
    Entry,
    Evaluation,
    ExperimentRecord,
    Prediction,
    RunRecord,
    Score,
    digest,
    from_json,
    to_json,
)
from harness.records.files import read_json, write_json, write_text
from harness.records.release import MetricFact, Release, Scored

SCHEMA = "harness.release/1"
COLUMNS = ("suite", "item", "group", "metric", "filter", "version", "status", "value", "statistics")
AGAIN = "Take both files from the repository again"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def scored(
    experiment: ExperimentRecord,
    entry: Entry,
    evaluation: Evaluation,
    run: RunRecord,
    rows: tuple[Sequence[Score], Sequence[Prediction]],
    own: Mapping[str, Metric] | None = None,
) -> Scored:
    """An evaluation of a stored experiment as a gate sees it; scores are those of the newest version of each metric."""
    scores, predictions = rows
    newest: dict[str, int] = {}
    for score in scores:
        newest[score.metric] = max(newest.get(score.metric, 0), score.version)
    kept = tuple(score for score in scores if score.version == newest[score.metric])
    table = {**METRICS, **(own or {})}
    facts = {
        name: MetricFact(name, version, metric.direction, metric.suite, metric.bounds, metric.unit)
        for name, version in sorted(newest.items())
        if (metric := table.get(name)) is not None
    }
    return Scored(
        suite=evaluation.suite_fingerprint,
        prompts=digest(sorted((row.example, row.prompt_hash) for row in predictions)),
        generation={name: value for name, value in evaluation.generation.items() if name != "config"},
        environment=evaluation.environment,
        metrics=facts,
        groups=experiment.groups,
        scores=kept,
        arm=entry.arm,
        train_id=entry.train_id,
        eval_id=evaluation.eval_id,
        artefact=evaluation.artefact_hash,
        artefact_bytes=run.ledger.artefact_bytes,
        examples=experiment.split_sizes.get("test"),
    )


def hidden(subject: Scored) -> Scored:
    """The same with ids of examples and groups hashed, alike for all that is scored on one suite."""

    def name(kind: str, text: str) -> str:
        return hidden_name(subject.suite, kind, text)

    return replace(
        subject,
        groups={name("item", item): name("group", group) for item, group in subject.groups.items()},
        scores=tuple(replace(score, item=name("item", score.item), eval_id="") for score in subject.scores),
    )


def hidden_name(suite: str, kind: str, text: str) -> str:
    """What stands for the id of an example (`item`) or `group` of a sensitive task; `suite` is its fingerprint."""
    return hashlib.sha256(f"{suite} {kind} {text}".encode()).hexdigest()[:20]


def identity(release: Release) -> str:
    """Identity of what was released, whatever its name and date: model, suite, prompts, settings and scores."""
    scored = release.scored
    about = [scored.artefact, scored.suite, scored.prompts, dict(scored.generation), dict(scored.environment)]
    return digest([*about, release.digest])


def pin(release: Release, folder: Path) -> list[str]:
    """Write a release into `folder`/NAME, which must not be there; what was written, a line each.

    Raises UsageError for a name that is taken or no folder's name.
    """
    if not NAME.fullmatch(release.name):
        raise UsageError(
            f"{release.name!r} is no name for a release", hint="Letters, digits, dots, dashes, underscores"
        )
    target = folder / release.name
    if target.exists():
        raise UsageError(f"{target} exists already", hint="A pinned release is never changed; give another name")
    subject = hidden(release.scored) if release.sensitive else release.scored
    text = _table(subject.scores, subject.groups)
    written = replace(release, digest=hashlib.sha256(text.encode()).hexdigest(), scored=replace(subject, scores=()))
    plain: dict[str, Any] = to_json(written)
    del plain["scored"]["scores"], plain["scored"]["groups"]
    write_text(target / "scores.csv", text)
    write_json(target / "release.json", {"schema": SCHEMA, **plain})
    items = len({score.item for score in subject.scores if score.suite == "test"})
    return [f"pinned {release.name}: {items} test examples, {len(subject.scores):,} scores, in {target}"]


def read(folder: Path) -> Release:
    """A pinned release. Raises DataError naming file and field where it is not as it was written."""
    file, table = folder / "release.json", folder / "scores.csv"
    try:
        plain = read_json(file)
        text = table.read_bytes().decode()
    except FileNotFoundError as error:
        raise DataError(
            f"{error.filename}: no such file", hint="`harness release RUN --as NAME` pins a baseline"
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read: {error}", hint=AGAIN) from None
    if not isinstance(plain, dict) or plain.get("schema") != SCHEMA:
        raise DataError(f"{file}: schema: this is no release that can be read here ({SCHEMA})", hint="Pin it again")
    try:
        release = from_json(Release, {**plain, "scored": {**plain["scored"], "scores": [], "groups": {}}})
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{file}: {error}: missing or of another kind", hint=AGAIN) from None
    if hashlib.sha256(text.encode()).hexdigest() != release.digest:
        raise DataError(f"{table}: its digest is not the one in release.json: the scores were changed", hint=AGAIN)
    scores, groups = _read_table(table, text)
    return replace(release, scored=replace(release.scored, scores=scores, groups=groups))


def pinned(folder: Path) -> dict[str, str]:
    """Training → name of the baseline that was pinned from it, of the baselines below `folder` that can be read."""
    names = {}
    for path in sorted(folder.glob("*/release.json")):
        with suppress(HarnessError):
            release = read(path.parent)
            names[release.scored.train_id] = release.name
    return names


def _table(scores: Iterable[Score], groups: Mapping[str, str]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    rows = []
    for score in scores:
        value = "" if score.value is None else repr(score.value)
        statistics = "" if score.statistics is None else json.dumps(list(score.statistics))
        group = groups.get(score.item, score.item) if score.suite == "test" else ""
        about = score.suite, score.item, group, score.metric, score.filter, str(score.version), score.status
        rows.append((*about, value, statistics))
    writer.writerows(sorted(rows))
    return out.getvalue()


def _read_table(file: Path, text: str) -> tuple[tuple[Score, ...], dict[str, str]]:
    reader = csv.reader(io.StringIO(text))
    if tuple(next(reader, ())) != COLUMNS:
        raise DataError(f"{file}:1: the columns are not {', '.join(COLUMNS)}", hint="Pin the release again")
    scores, groups = [], {}
    for line, row in enumerate(reader, 2):
        try:
            suite, item, group, metric, kind, version, status, text_value, text_statistics = row
            value = float(text_value) if text_value else None
            statistics = tuple(json.loads(text_statistics)) if text_statistics else None
            known: Literal["ok", "missing"] = "ok" if status == "ok" else "missing"
            scores.append(Score("", suite, item, metric, kind, int(version), known, value, statistics))
        except (ValueError, TypeError) as error:
            raise DataError(f"{file}:{line}: {error}", hint=AGAIN) from None
        if suite == "test":
            groups[item] = group
    return tuple(scores), groups
