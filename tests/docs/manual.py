"""The pages of the manual and the first page, taken apart: fenced blocks, commands, links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "AGENTS.md")),
    ]
)
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`(harness [^`]+)`")
OURS = re.compile(r"harness [a-z-]")
"""How a call of ours begins, and not a folder or a name."""


@dataclass(frozen=True)
class Block:
    """One fenced block and where it stands."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    """Every fenced block of these languages on any page."""
    return [block for page in PAGES for block in _blocks(page) if block.language in languages]


def _blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf8")
    for match in FENCE.finditer(text):
        yield Block(page, text.count("\n", 0, match.start()) + 1, match[1], match[2])


def shell_lines() -> list[tuple[str, str]]:
    """Every command of the shell blocks with its place, comments left out."""
    found = []
    for block in blocks("sh", "console", "bash"):
        for number, line in enumerate(block.text.splitlines(), block.line + 1):
            words = shlex.split(line, comments=True)
            if words:
                found.append((f"{block.page.relative_to(ROOT)}:{number}", shlex.join(words)))
    return found


def harness_calls() -> list[tuple[str, str]]:
    """Those lines of shell blocks that call `harness`, the words after it."""
    return [(where, line.removeprefix("harness ")) for where, line in shell_lines() if line.startswith("harness ")]


def inline_calls() -> list[tuple[str, str]]:
    """Every call of `harness` in running text: often without its arguments."""
    found = []
    for page in PAGES:
        text = FENCE.sub(lambda match: "\n" * match[0].count("\n"), page.read_text(encoding="utf8"))
        for match in INLINE.finditer(text):
            if OURS.match(match[1]):
                line = text.count("\n", 0, match.start()) + 1
                found.append((f"{page.relative_to(ROOT)}:{line}", " ".join(match[1].split()[1:])))
    return found


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command of the real program that `words` call, and its own words. Fails where there is none."""
    from harness.cli.main import app

    command: Any = typer.main.get_command(app)
    rest = list(words)
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        assert rest[0] in command.commands, f"no command {rest[0]!r}; there are {', '.join(command.commands)}"
        command = command.commands[rest.pop(0)]
    return command, rest
