"""The walls: which room of `harness/` may import which, and that the command line stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "harness"
OPEN = ("__init__", "errors", "redaction", "environment", "progress")
"""What every room may import."""
BELOW = {
    **dict.fromkeys(OPEN, ""),
    "config": "",
    "records": "config",
    **dict.fromkeys(("metrics", "stats", "models", "store"), "records"),
    "data": "records models",
    "arms": "models data",
    "results": "store stats metrics",
    "experiments": "arms results",
    **dict.fromkeys(("review", "release"), "experiments"),
    "app": "review release",
    "cli": "app",
    "__main__": "cli",
}
"""Each room, and what it may import; what those may import it may, too."""
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "stock" not in path.parts)


def allowed(name: str) -> set[str]:
    return {name, *(OPEN if name not in OPEN else OPEN[:2])}.union(*map(allowed, BELOW[name].split()))


def imported(path: Path) -> set[str]:
    """Rooms that a file imports; the public face may import anything, but inside its functions."""
    names: set[str] = set()
    tree = ast.parse(path.read_text())
    for node in tree.body if path == PACKAGE / "__init__.py" else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    parts = [name.split(".") for name in names]
    return {part[1] for part in parts if part[0] == "harness" and len(part) > 1} & set(BELOW)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_down(path: Path) -> None:
    assert imported(path) <= allowed(path.relative_to(PACKAGE).parts[0].removesuffix(".py"))


def test_command_line_is_light() -> None:
    heavy = ["torch", "transformers", "duckdb", "streamlit", "datasets", "lm_eval", "numpy", "pydantic", "matplotlib"]
    script = "import sys, harness.cli.main; print([m for m in sys.argv[1:] if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", script, *heavy], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
