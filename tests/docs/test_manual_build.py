"""The manual builds without a warning, its generated parts are complete, and it asks no other host for anything."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from manual import PAGES, ROOT

from harness.cli.main import app
from harness.metrics import METRICS

PACKAGE = ROOT / "harness"


@pytest.fixture(scope="module")
def hooks() -> Any:
    spec = importlib.util.spec_from_file_location("manual_hooks", ROOT / "docs" / "hooks.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built manual."""
    folder = tmp_path_factory.mktemp("manual") / "site"
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    answer = subprocess.run(build, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    said = answer.stdout + answer.stderr
    assert answer.returncode == 0, said
    assert "WARNING" not in said and "Deprecat" not in said, said
    return folder


class _Sources(HTMLParser):
    """Addresses that a browser loads by itself: scripts, styles, pictures, frames."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if values.get("src"):
            self.loaded.append(str(values["src"]))
        if tag == "link" and values.get("rel") not in ("canonical", "next", "prev"):
            self.loaded.append(str(values.get("href")))


def test_every_page_is_built_and_loads_nothing_from_elsewhere(site: Path) -> None:
    built = {path.relative_to(site).with_suffix("").as_posix() for path in site.rglob("*.html")}
    pages = {path.relative_to(ROOT / "docs").with_suffix("").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert pages <= built
    loaded = 0
    for file in site.rglob("*.html"):
        parser = _Sources()
        parser.feed(file.read_text(encoding="utf8"))
        outside = [address for address in parser.loaded if re.match(r"(https?:)?//", address)]
        assert not outside, f"{file.name}: {outside}"
        loaded += len(parser.loaded)
    assert loaded > len(pages)


def test_no_marker_is_left(site: Path) -> None:
    assert not [file.name for file in site.rglob("*.html") if "<!-- made:" in file.read_text(encoding="utf8")]


def test_the_search_index_knows_the_pages(site: Path) -> None:
    assert "Krippendorff" in (site / "search" / "search_index.json").read_text(encoding="utf8")


def test_every_command_and_option_stands_in_the_reference(hooks: Any) -> None:
    text = hooks.cli_reference()

    def walk(command: Any, words: str) -> int:
        if hasattr(command, "commands"):
            return sum(walk(inner, f"{words} {name}") for name, inner in command.commands.items())
        [section] = re.findall(rf"^#+ {words}\n(.*?)(?=^##|\Z)", text, re.DOTALL | re.MULTILINE)
        for parameter in command.params:
            name = parameter.name.upper() if parameter.param_type_name == "argument" else f"`{parameter.opts[0]}`"
            assert name in section, f"{words}: {name}"
            assert parameter.help or words.startswith("harness review"), f"{words}: {name} has no help"
        return 1

    assert walk(typer.main.get_command(app), "harness") == text.count("```text") > 30


def test_every_field_stands_in_the_reference_with_its_meaning(hooks: Any) -> None:
    from harness import config as spec

    text = hooks.yaml_reference()
    kinds = [kind for kind in vars(spec).values() if isinstance(kind, type) and issubclass(kind, spec.Spec)]
    shown = [kind for kind in kinds if f"{{ #{kind.__name__.lower()} }}" in text]
    bases = {"Spec", "TrainedBase", "ContinuedBase", "LmEvalOptions"}
    assert {kind.__name__ for kind in kinds} - {kind.__name__ for kind in shown} == bases
    for kind in shown:
        [section] = re.findall(rf"{{ #{kind.__name__.lower()} }}\n(.*?)(?=^##|\Z)", text, re.DOTALL | re.MULTILINE)
        for name in kind.model_fields:
            assert kind.field_docs().get(name), f"{kind.__name__}.{name} has no docstring"
            assert f"| `{name}` |" in section, f"{kind.__name__}.{name}"


def test_every_metric_and_recipe_is_listed(hooks: Any) -> None:
    assert all(f"| `{name}` |" in hooks.metrics_table() for name in METRICS)
    recipes = sorted((ROOT / "baselines" / "arms").glob("*.yaml"))
    table = hooks.arms_table()
    assert recipes and all(
        f"| `{file.stem}` | `{yaml.safe_load(file.read_text())['method']}` |" in table for file in recipes
    )


def test_the_architecture_page_is_complete(hooks: Any) -> None:
    """Every module of the package has a line with a phrase, and everything at the top of the repository a row."""
    named = [line.strip().removeprefix("- ").split(None, 1) for line in hooks.package_tree().splitlines()]
    assert all(len(words) == 2 for words in named), [words for words in named if len(words) < 2]
    named = [[words[0].strip("`"), words[1]] for words in named]
    modules = [path for path in PACKAGE.rglob("*.py") if "stock" not in path.parts and path.name != "__init__.py"]
    assert sorted(words[0] for words in named if words[0].endswith(".py")) == sorted(path.name for path in modules)
    folders = {path.parent for path in PACKAGE.rglob("*.py") if "stock" not in path.parts}
    assert {f"{folder.name}/" for folder in folders - {PACKAGE}} <= {words[0] for words in named}
    page = (ROOT / "docs" / "architecture.md").read_text()
    rows = {name.rstrip("/") for name in re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)}
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    top = {path.split("/")[0] for path in listed if not path.startswith(".")}
    assert rows == top


def test_folders_stand_in_the_order_of_the_data(hooks: Any) -> None:
    names = [folder.name for folder in hooks.folders_by_flow()]
    order = [names.index(name) for name in ("records", "metrics", "arms")]
    assert order == sorted(order) and len(set(names)) == len(names)


def test_every_decision_is_linked_and_says_why(hooks: Any) -> None:
    pages = hooks.decision_pages()
    assert len(pages) >= 30
    for page in pages:
        text = page.read_text(encoding="utf8")
        assert text.startswith("# ") and len(text.split()) >= 20 and f"({page.name})" in hooks.decision_list()


def test_the_first_page_is_short() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= 8192


@pytest.mark.parametrize("page", [page for page in PAGES if "docs" not in page.parts[len(ROOT.parts) :]], ids=str)
def test_links_outside_of_the_manual_lead_somewhere(page: Path) -> None:
    """The build checks links within docs/; these are the files that it does not read."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf8")):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_anchors_of_the_first_page_exist(site: Path) -> None:
    for target, anchor in re.findall(r"\(docs/([\w/-]+)\.md#([\w-]+)\)", (ROOT / "README.md").read_text()):
        assert f'id="{anchor}"' in (site / f"{target}.html").read_text(encoding="utf8"), f"{target}#{anchor}"
