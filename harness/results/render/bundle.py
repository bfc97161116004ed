"""One archive with everything that a leaderboard was made of, from which its tables come again.

    manifest.json            schema, experiment, SHA-256 of every other file
    results/NAME.json(l)     the fields of `Results`: experiment, entries, runs with their ledgers, scores by
                             example, looks, groups, what people said (counts and statistics; no text, no name)
    rule.json                what was declared before the run, and when
    versions.json            libraries, commit and hardware of every run
    tables/…                 leaderboard, ledger, looks, tuning, learning curves and settings as they were printed, and
                             the data of every figure

The same results give the same bytes: names are sorted, times fixed. Paths of the machine are reduced to their last
part. Of a sensitive task ids and groups are replaced by their rank, which says nothing of them, keeps clusters together
and, because it keeps their order too, every interval to the bit; errors of runs are withheld.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import itertools
import json
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness import __version__
from harness.errors import DataError
from harness.records import from_json, to_json
from harness.redaction import without_paths
from harness.results.collect import Results
from harness.results.human.records import anonymous
from harness.results.leaderboard.board import leaderboard
from harness.results.render.figures import figure_tables
from harness.results.render.json import curve_to_json, ledger_to_json, to_json as board_to_json, tuning_to_json
from harness.results.render.leaderboard import render_markdown, to_csv, to_latex, to_text
from harness.results.render.ledger import ledger_to_text
from harness.results.render.studies import APPENDIX_FORMS, curve_to_text, looks_to_lines, tuning_to_text
from harness.results.studies.appendix import appendix
from harness.results.studies.curve import learning_curve
from harness.results.studies.tuning import tuning_report

SCHEMA = "harness.bundle/2"
EARLIER = ("harness.bundle/1",)
"""Schemas that can be read: they lack training logs and some tables."""
LAYOUT = 2
"""Number of the wording and layout of the tables in text, Markdown and LaTeX. Of a bundle with another one (the first
bundles name none) `check` compares the JSON and CSV tables, which hold every number."""
LAID_OUT = (".txt", ".md", ".tex")
ROUNDING = 1e-9
"""Largest difference, relative above 1, between a number of a bundle and the same number computed elsewhere."""
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w.]*\w)")
DECLARED = (
    "reference",
    "seeds",
    "budget",
    "winner",
    "winner_rules",
    "tuning",
    "data_fraction",
    "statistics",
    "stop_on",
)
"""Fields of an experiment that say beforehand how it will be decided, as far as it has them."""
_WHOLE_PATHS = frozenset({"path", "base_path", "file", "folder", "include_path", "task", "base_model"})
_OWN_WORDS = frozenset({"prompt", "target", "system", "template", "chosen", "rejected", "description"})
"""Fields that hold what a person wrote for a model, where a slash is no path."""
_TIME = (1980, 1, 1, 0, 0, 0)


def pack(results: Results) -> bytes:
    """The archive of an experiment's results."""
    if results.human is not None:  # who the raters are is nobody else's business
        results = dataclasses.replace(results, human=anonymous(results.human))
    plain = {field.name: to_json(getattr(results, field.name)) for field in dataclasses.fields(results)}
    if results.experiment.task.get("sensitive"):
        plain = _anonymous(plain)
    plain = _without_paths(plain)
    files = {
        f"results/{name}.{'jsonl' if isinstance(value, list) else 'json'}": _encoded(value)
        for name, value in plain.items()
    }
    packed = _results(plain)
    experiment, task = packed.experiment, packed.experiment.task
    files["rule.json"] = _text(  # what was declared before the run, and when
        {
            "declared": experiment.created,
            "experiment_id": experiment.experiment_id,
            "task": {name: task.get(name) for name in ("name", "version", "metrics")},
            "task_fingerprint": experiment.task_fingerprint,
            **{name: experiment.spec[name] for name in DECLARED if name in experiment.spec},
        }
    ).encode()
    versions = []
    for run in packed.runs:  # what was handed to libraries stands with the runs and in the appendix
        provenance = dataclasses.replace(run.provenance, configs=())
        versions.append({"arm": run.arm, "seed": run.seed, "attempt": run.attempt, **to_json(provenance)})
    files["versions.json"] = _encoded(versions)
    files |= {f"tables/{name}": text.encode() for name, text in tables(packed).items()}
    manifest = {
        "schema": SCHEMA,
        "layout": LAYOUT,
        "harness_version": __version__,
        "experiment": {
            "id": experiment.experiment_id,
            "name": experiment.name,
            "created": experiment.created,
            "sensitive": bool(experiment.task.get("sensitive")),
        },
        "files": {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)},
    }
    return _archive({"manifest.json": _encoded(manifest), **files})


def read(file: Path) -> Results:
    """The results in a bundle, every file checked against the manifest.

    Raises DataError: not a bundle, one of a newer harness, or a file of it was changed.
    """
    return _results(_values(_opened(file)))


def check(file: Path) -> list[str]:
    """Make every table again from the results in a bundle and compare it; one line for each.

    Numbers may be ROUNDING apart: another processor adds in another order. Raises DataError: as `read`, or a table that
    comes out otherwise.
    """
    files = _opened(file)
    manifest = json.loads(files["manifest.json"])
    again = tables(_results(_values(files)))
    stored = {name.removeprefix("tables/"): data for name, data in files.items() if name.startswith("tables/")}
    if manifest["schema"] in EARLIER:
        again = {name: text for name, text in again.items() if name in stored}
    if set(again) != set(stored):
        odd = sorted(set(again) ^ set(stored))
        raise DataError(
            f"{file}: another set of tables than this harness makes: {', '.join(odd)}", hint=_made_by(files)
        )
    experiment = manifest["experiment"]
    name, created = f"{experiment['name']} ({experiment['id']})", experiment["created"]
    lines = [f"{name}, {created}: {len(files) - 1} files match the manifest"]
    for name, text in sorted(again.items()):
        if text.encode() == stored[name]:
            lines.append(f"tables/{name}: {len(stored[name]):,} bytes, the same")
        elif name.endswith(LAID_OUT) and manifest.get("layout") != LAYOUT:
            lines.append(f"tables/{name}: laid out by an earlier harness; JSON and CSV have its numbers")
        else:
            old = stored[name].decode(errors="replace")
            pairs = enumerate(itertools.zip_longest(text.split("\n"), old.split("\n"), fillvalue=""), 1)
            differing = [
                number for number, (ours, theirs) in pairs if not _same_line(ours, theirs, name.endswith(LAID_OUT))
            ]
            if differing:
                raise DataError(
                    f"{file}: tables/{name} comes out otherwise, first in line {differing[0]}", hint=_made_by(files)
                )
            lines.append(f"tables/{name}: {len(stored[name]):,} bytes, the same but for rounding")
    return lines


def _same_line(ours: str, theirs: str, rounded: bool) -> bool:
    """The same words, and numbers at most ROUNDING apart; in a `rounded` table at most one in the last digit shown."""
    if _NUMBER.split(ours) != _NUMBER.split(theirs):
        return False
    for mine, other in zip(_NUMBER.findall(ours), _NUMBER.findall(theirs), strict=True):
        decimals = len(other.partition(".")[2])
        last_digit = 1.001 * 10.0**-decimals if rounded and decimals else 0.0
        bound = max(ROUNDING * max(abs(float(mine)), abs(float(other)), 1.0), last_digit)
        if mine != other and not abs(float(mine) - float(other)) <= bound:
            return False
    return True


def tables(results: Results) -> dict[str, str]:
    """Every table of an experiment by file name; the same results give the same bytes."""
    board, settings = leaderboard(results), appendix(results)
    texts = {
        "leaderboard.txt": to_text(board),
        "leaderboard.md": render_markdown(board),
        "leaderboard.csv": to_csv(board),
        "leaderboard.tex": to_latex(board),
        "leaderboard.json": _text(board_to_json(board)),
        "ledger.txt": ledger_to_text(board),
        "ledger.json": _text(ledger_to_json(board)),
        "looks.txt": "\n".join(looks_to_lines(results.looks)) + "\n",
        "appendix.md": APPENDIX_FORMS["markdown"](settings),
        "appendix.tex": APPENDIX_FORMS["latex"](settings),
        "appendix.csv": APPENDIX_FORMS["csv"](settings),
    }
    if results.trials:
        tuning = tuning_report(results)
        texts |= {"tuning.txt": tuning_to_text(tuning), "tuning.json": _text(tuning_to_json(tuning))}
    if results.shares:
        curve = learning_curve(results)
        texts |= {"curve.txt": curve_to_text(curve), "curve.json": _text(curve_to_json(curve))}
    return texts | {f"figure-{name}.csv": text for name, text in figure_tables(results).items()}


# --------------------------------------------------------------------------------------------------- what goes in


def _without_paths(value: Any, key: str = "") -> Any:
    """`value` with absolute paths reduced to their last part."""
    if isinstance(value, Mapping):
        return {name: _without_paths(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_paths(item, key) for item in value]
    if not isinstance(value, str) or key in _OWN_WORDS or ("/" not in value and "\\" not in value):
        return value
    if key in _WHOLE_PATHS and (value.startswith(("/", "~")) or value[1:3] in (":\\", ":/")):
        return re.split(r"[/\\]", value.rstrip("/\\"))[-1]
    return without_paths(value)


def _anonymous(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Results of a sensitive task without ids, groups and the text of errors."""
    experiment, sides = plain["experiment"], ("kept", "dropped")
    ids = {name for groups in (plain["groups"], experiment["groups"]) for pair in groups.items() for name in pair}
    ids |= {row["item"] for row in plain["scores"]}
    ids |= {leak[side] for leak in experiment["leaks"] for side in sides}
    width = len(str(len(ids)))
    # Ranks keep the order, and with it the order in which clusters are drawn.
    names = {name: f"x{rank:0{width}d}" for rank, name in enumerate(sorted(ids), 1)}

    def renamed(groups: Mapping[str, str]) -> dict[str, str]:
        return {names[item]: names[group] for item, group in groups.items()}

    def silent(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return [{**row, "error": "withheld: the task is sensitive" if row["error"] else None} for row in rows]

    leaks = [{**leak, **{side: names[leak[side]] for side in sides}} for leak in experiment["leaks"]]
    return {
        **plain,
        "experiment": {**experiment, "groups": renamed(experiment["groups"]), "leaks": leaks},
        "groups": renamed(plain["groups"]),
        "scores": [{**row, "item": names[row["item"]]} for row in plain["scores"]],
        "trials": silent(plain["trials"]),
        "runs": silent(plain["runs"]),
        "serving": [{**round_, "arms": silent(round_["arms"])} for round_ in plain["serving"]],
    }


# -------------------------------------------------------------------------------------------------- archive, files


def _archive(files: Mapping[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, _TIME)
            info.compress_type, info.create_system, info.external_attr = zipfile.ZIP_DEFLATED, 3, 0o644 << 16
            archive.writestr(info, files[name], compresslevel=9)
    return target.getvalue()


def _opened(file: Path) -> dict[str, bytes]:
    """Files of a bundle by name, each as the manifest says."""
    try:
        with zipfile.ZipFile(file) as archive:
            files = {info.filename: archive.read(info) for info in archive.infolist()}
        manifest = json.loads(files["manifest.json"])
        schema, sums = manifest["schema"], dict(manifest["files"])
    except FileNotFoundError:
        raise DataError(f"no such file: {file}", hint="`harness bundle EXPERIMENT` makes one") from None
    except (OSError, zipfile.BadZipFile, zipfile.LargeZipFile, KeyError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{file} is no readable bundle: {reason}", hint="`harness bundle EXPERIMENT` makes one"
        ) from None
    if schema not in (SCHEMA, *EARLIER):
        raise DataError(
            f"{file} has the schema {schema}", hint=f"This harness reads {SCHEMA}; install the one it names"
        )
    changed = [name for name, data in files.items() if hashlib.sha256(data).hexdigest() != sums.get(name)]
    changed = [name for name in changed if name != "manifest.json"] + sorted(set(sums) - set(files))
    if changed:
        raise DataError(f"{file}: {changed[0]} is not what the manifest says", hint="The file was changed or cut short")
    return files


def _values(files: Mapping[str, bytes]) -> dict[str, Any]:
    """The plain values under `results/`, by field."""
    values: dict[str, Any] = {}
    for path, data in files.items():
        name, _, suffix = path.removeprefix("results/").rpartition(".")
        if path.startswith("results/"):
            lines = [line for line in data.decode().split("\n") if line]
            values[name] = [json.loads(line) for line in lines] if suffix == "jsonl" else json.loads(data)
    return values


def _results(plain: Mapping[str, Any]) -> Results:
    # Read once and never changed: tuples in place of JSON's lists.
    return from_json(Results, {name: tuple(rows) if isinstance(rows, list) else rows for name, rows in plain.items()})


def _encoded(value: Any) -> bytes:
    if isinstance(value, list):
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in value).encode()
    return _text(value).encode()


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


def _made_by(files: Mapping[str, bytes]) -> str:
    version = json.loads(files["manifest.json"]).get("harness_version")
    return f"It was made by harness {version}, this is {__version__}; its numerical libraries may differ too"
