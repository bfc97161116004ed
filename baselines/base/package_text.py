"""Prose and code of installed third-party packages, for a share of the base model's pretraining text.

A file that shares a run of 13 tokens with the Python standard library is dropped, so that nothing of the docstrings
task's held-out text comes in by this door. `HELD_OUT` packages are never trained on.
"""

from __future__ import annotations

import ast
import re
import sysconfig
import zlib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from random import Random

import numpy as np

PACKAGES = (
    "torch", "transformers", "peft", "trl", "accelerate", "datasets", "lm_eval", "pandas", "numpy", "scipy",
    "streamlit", "sklearn", "statsmodels", "plotly", "optuna", "typer", "rich", "pydantic", "sacrebleu", "evaluate",
)  # fmt: skip
HELD_OUT = ("filelock", "datasketch", "hypothesis")
DISTRIBUTIONS = {"sklearn": "scikit-learn"}
TOKEN = re.compile(r"\w+|[^\w\s]")
RUN = 13
MULTIPLIERS = np.array([pow(1099511628211, i, 2**64) for i in range(RUN)], dtype=np.uint64)


def runs(text: str) -> np.ndarray:
    """Hashes of all runs of 13 tokens."""
    codes = np.array([zlib.crc32(token.encode()) for token in TOKEN.findall(text)], dtype=np.uint64)
    if len(codes) < RUN:
        return np.empty(0, dtype=np.uint64)
    windows = np.lib.stride_tricks.sliding_window_view(codes, RUN)
    with np.errstate(over="ignore"):
        return (windows * MULTIPLIERS).sum(axis=1, dtype=np.uint64)


def standard_library_runs() -> np.ndarray:
    """Sorted hashes of the standard library's runs of 13 tokens."""
    root = Path(sysconfig.get_paths()["stdlib"])
    skip = {"test", "tests", "site-packages", "dist-packages", "idlelib", "lib2to3", "__pycache__"}
    parts = []
    for path in sorted(root.rglob("*.py")):
        if not skip.intersection(path.relative_to(root).parts):
            parts.append(runs(path.read_text(encoding="utf-8", errors="replace")))
    return np.unique(np.concatenate(parts))


def shared(text: str, known: np.ndarray) -> bool:
    """Whether the text holds a run of 13 tokens that is among `known` (sorted)."""
    mine = runs(text)
    if not len(mine) or not len(known):
        return False
    at = np.minimum(np.searchsorted(known, mine), len(known) - 1)
    return bool((known[at] == mine).any())


def docstrings(source: str) -> list[str]:
    """The docstrings of at least 80 characters in a source file."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return []
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = [ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, kinds)]
    return [text for text in found if text and len(text) >= 80]


def files(package: str, rng: Random) -> Iterator[Path]:
    """The package's source files in random order."""
    root = Path(sysconfig.get_paths()["purelib"]) / package
    paths = sorted(p for p in root.rglob("*.py") if not {"tests", "test", "testing", "_vendor"}.intersection(p.parts))
    rng.shuffle(paths)
    yield from paths


def collect(
    rng: Random, packages: tuple[str, ...], characters: int, known: np.ndarray
) -> tuple[list[str], dict[str, str]]:
    """Pieces of text, about so many characters a package at most, and the packages' versions."""
    pieces, versions = [], {}
    for package in packages:
        try:
            versions[package] = version(DISTRIBUTIONS.get(package, package))
        except PackageNotFoundError:
            continue
        taken = 0
        for path in files(package, rng):
            source = path.read_text(encoding="utf-8", errors="replace")
            if len(source) > 200_000 or not source.isascii() or shared(source, known):
                continue
            texts = docstrings(source) if rng.random() < 0.7 else [source]
            pieces += [text[:6000] for text in texts]
            taken += sum(min(len(text), 6000) for text in texts)
            if taken >= characters:
                break
    rng.shuffle(pieces)
    return pieces, versions
