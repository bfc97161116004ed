"""The walls: which module may import which, what importing the command line costs, and the README's file tree."""

from __future__ import annotations

import ast
import functools
import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "harness"

ALLOWED: dict[str, set[str]] = {
    "__init__": set(),
    "__main__": {"cli"},
    "errors": set(),
    "withheld": set(),
    "spec": set(),
    "records": {"spec"},
    "templates": set(),
    "tokens": set(),
    "documents": {"spec"},
    "environment": {"records"},
    "files": {"records"},
    "progress": {"live"},
    "resolved": {"records", "files"},
    "user_code": {"documents"},
    "rows": {"spec", "documents", "user_code"},
    "sources": {"spec", "records", "templates", "rows", "documents"},
    "duplicates": set(),
    "splits": {"spec", "records", "duplicates"},
    "tuning": {"spec", "records"},
    "load_checks": {"spec", "documents", "tuning"},
    "load": {
        "spec",
        "records",
        "templates",
        "sources",
        "splits",
        "documents",
        "load_checks",
        "tuning",
        "metrics",
        "pair_files",
    },
    "pair_files": {"documents", "records", "rows", "spec"},
    "prompts": {"records", "spec", "templates", "tokens"},
    "models": {"records", "spec", "resolved"},
    "arms": {"models", "pair_files", "prompts", "spec", "records", "resolved"},
    "predict": {"models", "prompts", "records"},
    "metrics": {"records", "documents", "user_code"},
    "lm_eval_model": {"models", "spec", "tokens"},
    "lm_eval_tasks": {"lm_eval_model", "records", "models", "spec"},
    "stats": {"records"},
    "store": {"records"},
    "judged": {"records"},
    "winner_rules": {"records"},
    "winner_pairs": {"records"},
    "verdict": {"records", "winner_rules", "winner_pairs"},
    "report": {"judged", "racing", "records", "stats", "metrics", "verdict", "winner_rules"},
    "prepare": {"duplicates", "files", "lm_eval_tasks", "pair_files", "records", "sources", "spec", "splits"},
    "evaluation": {
        "spec",
        "arms",
        "models",
        "prompts",
        "predict",
        "metrics",
        "lm_eval_tasks",
        "records",
        "environment",
        "files",
        "sealing",
    },
    "validation": {"arms", "evaluation", "metrics", "models", "records", "spec", "environment", "files"},
    "racing": {"records", "stats"},
    "rungs": {"arms", "evaluation", "files", "models", "racing", "records", "validation"},
    "worker": {
        "arms",
        "evaluation",
        "validation",
        "rungs",
        "splits",
        "environment",
        "records",
        "files",
        "resolved",
        "sealing",
    },
    "preflight": {"arms", "evaluation", "worker", "models", "prompts", "records"},
    "sealing": set(),
    "live": {"records", "files"},
    "executors": {"arms", "environment", "evaluation", "worker", "records", "progress"},
    "ingest": {"worker", "evaluation", "environment", "store", "files", "records", "winner_rules", "arms"},
    "trials": {
        "tuning",
        "worker",
        "executors",
        "ingest",
        "store",
        "arms",
        "metrics",
        "files",
        "records",
        "spec",
        "progress",
    },
    "races": {
        "arms",
        "environment",
        "executors",
        "ingest",
        "metrics",
        "progress",
        "racing",
        "records",
        "rungs",
        "spec",
        "stats",
        "store",
        "worker",
    },
    "sentinel": {
        "environment",
        "evaluation",
        "ingest",
        "metrics",
        "pipeline",
        "run_plans",
        "prepare",
        "progress",
        "queries",
        "records",
        "report",
        "store",
        "worker",
    },
    "boards": {"files", "judged", "records", "report", "store"},
    "serving": {
        "arms",
        "environment",
        "files",
        "ingest",
        "models",
        "predict",
        "progress",
        "prompts",
        "records",
        "sealing",
        "spec",
        "store",
        "worker",
    },
    "measurements": {"pipeline", "run_plans", "prepare", "progress", "queries", "report", "serving"},
    "released": {"files", "metrics", "records"},
    "gate": {"documents", "judged", "metrics", "records", "report", "spec", "stats"},
    "candidates": {"gate", "judged", "metrics", "queries", "records", "released", "spec", "store"},
    "gate_history": {"files", "gate", "ingest", "queries", "records", "store"},
    "gate_models": {
        "arms",
        "files",
        "ingest",
        "load",
        "models",
        "pipeline",
        "run_plans",
        "prepare",
        "progress",
        "queries",
        "records",
        "released",
        "spec",
        "store",
        "worker",
    },
    "gates": {
        "candidates",
        "documents",
        "gate",
        "gate_history",
        "gate_models",
        "progress",
        "queries",
        "records",
        "released",
        "spec",
        "store",
    },
    "shipping": {
        "arms",
        "environment",
        "evaluation",
        "files",
        "gates",
        "ingest",
        "metrics",
        "models",
        "pipeline",
        "run_plans",
        "progress",
        "prompts",
        "queries",
        "records",
        "report",
        "spec",
        "stats",
        "store",
        "worker",
    },
    "bundle": {"report", "records"},
    "queries": {"boards", "bundle", "store", "report", "ingest", "metrics", "files", "records"},
    "figures": {"files", "metrics", "records", "report"},
    "answers": {
        "arms",
        "duplicates",
        "environment",
        "evaluation",
        "files",
        "ingest",
        "pipeline",
        "run_plans",
        "prepare",
        "progress",
        "queries",
        "records",
        "rows",
        "sealing",
        "spec",
        "store",
        "templates",
        "worker",
    },
    "review": {
        "answers",
        "documents",
        "files",
        "judged",
        "load",
        "progress",
        "queries",
        "records",
        "rows",
        "stats",
        "store",
    },
    "previews": {"load", "metrics", "models", "prompts", "records", "sources", "spec", "splits"},
    "doctor": {"load", "environment", "records"},
    "planning": {
        "arms",
        "environment",
        "files",
        "metrics",
        "pipeline",
        "run_plans",
        "prepare",
        "queries",
        "records",
        "report",
        "spec",
        "stats",
        "store",
        "tuning",
        "winner_pairs",
        "winner_rules",
        "worker",
    },
    "access": set(),
    "serve": {"access", "load", "queries", "review", "store"},
    "pages": {
        "access",
        "boards",
        "files",
        "gate",
        "judged",
        "live",
        "queries",
        "records",
        "report",
        "review",
        "splits",
        "store",
    },
    "run_plans": {"arms", "environment", "models", "pair_files", "prepare", "records", "spec"},
}
"""Rooms of the package and the rooms each may enter; `errors`, `withheld` and the version are open to all.

`pipeline` may enter all rooms below the command line and `cli` all of them, so they are not listed.
"""
ONLY_HOME = {
    "duckdb": {"store"},
    "lm_eval": {"lm_eval_model", "lm_eval_tasks"},
    "streamlit": {"pages"},
    "optuna": {"tuning"},
    "matplotlib": {"figures"},
}
"""Libraries that one room alone may import."""


def room(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    stem = first.removesuffix(".py")
    for family in ("store", "report", "load", "cli"):
        if stem.startswith(f"{family}_"):
            return family
    return stem


@functools.cache
def imports(path: Path) -> set[str]:
    """Dotted names that a file imports, `from a import b` as both `a` and `a.b`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


FILES = sorted(path for path in PACKAGE.rglob("*.py") if "stock" not in path.parts)
ROOMS = {file.relative_to(PACKAGE).parts[0].removesuffix(".py") for file in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    here = room(path)
    if here in ("pipeline", "cli"):
        entered = {name.split(".")[1] for name in imports(path) if name.startswith("harness.")}
        assert here == "cli" or ("cli" not in entered and "pages" not in entered)
        return
    assert here in ALLOWED, f"{path.name} is a new room: give it a row in the table"
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "harness" or len(parts) < 2 or parts[1] not in ROOMS:
            continue
        entered = room(PACKAGE / parts[1])
        assert entered in ALLOWED[here] | {"errors", "withheld", "__init__", here}, f"{here} must not import {entered}"


@pytest.mark.parametrize("library", sorted(ONLY_HOME))
def test_library_has_one_home(library: str) -> None:
    users = {room(path) for path in FILES if any(name.split(".")[0] == library for name in imports(path))}
    assert users <= ONLY_HOME[library]


def test_command_line_is_light() -> None:
    script = "import sys, harness.cli; print([m for m in sys.argv[1:] if m in sys.modules])"
    heavy = ["torch", "transformers", "duckdb", "streamlit", "datasets", "lm_eval", "numpy", "pydantic", "matplotlib"]
    answer = subprocess.run([sys.executable, "-c", script, *heavy], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_help_takes_less_than_half_a_second_of_cpu() -> None:
    spent: list[float] = []
    while len(spent) < 5 and min(spent, default=0.5) >= 0.5:  # neighbours of a shared processor only ever add to it
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        answer = subprocess.run([sys.executable, "-m", "harness", "--help"], capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert "leaderboard" in answer.stdout
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(spent) < 0.5, f"{spent} s of CPU"
