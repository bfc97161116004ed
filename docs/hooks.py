"""Hooks of MkDocs: the parts of the manual that are made from the code, so that they cannot go stale.

A page names such a part by a marker on a line of its own, `<!-- made: cli -->`; `MADE` holds the function of each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
PACKAGE = ROOT / "harness"
DOCSTRING = re.compile(r'\s*r?"""(.*?)"""', re.DOTALL)
MARKER = re.compile(r"^<!-- made: (\w+) -->$", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pictures under reports/screens, which stand once in the repository."""
    for picture in sorted((ROOT / "reports" / "screens").glob("*-1280.png")):
        files.append(File.generated(config, f"screens/{picture.name}", abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with every marker replaced by what it names."""
    text = MARKER.sub(lambda match: MADE[match[1]](), markdown)
    return text.replace("../reports/screens/", "screens/")


# ------------------------------------------------------------------------------------------------- command line


def cli_reference() -> str:
    """Every command with its arguments and options, from the program itself."""
    import typer

    from harness.cli.main import app

    return "\n".join(_command(typer.main.get_command(app), ("harness",)))


def _command(command: Any, words: tuple[str, ...]) -> Iterator[str]:
    subcommands = getattr(command, "commands", None)
    if subcommands is not None:
        if len(words) > 1:
            yield f"## {' '.join(words)}\n\n{_unwrapped(command.help)}\n"
        for name in sorted(subcommands):
            yield from _command(subcommands[name], (*words, name))
        return
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    usage = " ".join([*words, *(_argument(parameter) for parameter in arguments), "[OPTIONS]"])
    yield f"{'#' * len(words)} {' '.join(words)}\n\n{_unwrapped(command.help)}\n\n```text\n{usage}\n```\n"
    yield from _table(
        ("argument or option", "default", "meaning"),
        [(f"`{_argument(parameter)}`", "", parameter.help) for parameter in arguments]
        + [(_names(parameter), _option_default(parameter), parameter.help) for parameter in options],
    )


def _argument(parameter: Any) -> str:
    name = parameter.name.upper()
    return name if parameter.required else f"[{name}]"


def _names(parameter: Any) -> str:
    return " ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])


def _option_default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    environment = f" or `${parameter.envvar}`" if parameter.envvar else ""
    if parameter.default in (None, False, [], ()):
        return environment
    return f"`{'--' + parameter.name if parameter.default is True else parameter.default}`{environment}"


def _unwrapped(text: str | None) -> str:
    """Paragraphs without the line breaks of the source."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in (text or "").split("\n\n"))


def _table(heads: Iterable[str], rows: Iterable[Iterable[str | None]]) -> Iterator[str]:
    lines = list(rows)
    if not lines:
        return
    heads = list(heads)
    yield f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}"
    for row in lines:
        yield f"| {' | '.join(_cell(cell) for cell in row)} |"
    yield ""


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


# --------------------------------------------------------------------------------------------------------- YAML


def yaml_reference() -> str:
    """Every field of every file that a person writes, from the specs and the texts under their fields."""
    from harness import config as spec

    parts: list[tuple[str, list[Any]]] = [
        ("Task: `task.yaml`", [spec.TaskSpec]),
        ("Experiment: `EXPERIMENT.yaml`", [spec.ExperimentSpec]),
        ("Suite: the list `suite` of an experiment file", [spec.SuiteItem]),
        ("Arms: one of these, by `method`", list(get_args(get_args(spec.ArmSpec)[0]))),
        ("Gates: `gates.yaml`", [spec.GateSpec]),
    ]
    written = {kind for _, kinds in parts for kind in kinds}
    return "\n".join(line for title, kinds in parts for line in _specs(title, kinds, written))


def _specs(title: str, kinds: list[Any], written: set[Any]) -> Iterator[str]:
    """The tables of `kinds` and of what their fields hold, each once in the reference, under the field's path."""
    yield f"## {title}\n"
    waiting = [(kind, "") for kind in kinds]
    while waiting:
        kind, path = waiting.pop(0)
        yield from _spec(kind, path)
        for name, field in kind.model_fields.items():
            for inner in _specs_in(field.annotation):
                if inner not in written:
                    written.add(inner)
                    waiting.append((inner, f"{path}.{name}" if path else name))


def _spec(kind: Any, path: str) -> Iterator[str]:
    method = kind.model_fields.get("method")
    title = f"`{path}`" if path else f"`method: {get_args(method.annotation)[0]}`" if method is not None else "Fields"
    yield f"### {title} {{ #{kind.__name__.lower()} }}\n\n{_unwrapped(kind.__doc__)}\n"
    docs = kind.field_docs()
    yield from _table(
        ("field", "value", "default", "meaning"),
        [
            (f"`{name}`", _annotation(field), _field_default(field), docs.get(name))
            for name, field in sorted(kind.model_fields.items(), key=lambda item: item[0] != "method")
        ],
    )


def _specs_in(annotation: Any) -> Iterator[Any]:
    if isinstance(annotation, type) and hasattr(annotation, "model_fields"):
        yield annotation
    for inner in get_args(annotation):
        yield from _specs_in(inner)


def _field_default(field: FieldInfo) -> str:
    value = field.default
    if field.is_required():
        return "**required**"
    if value is PydanticUndefined or value is None:
        return ""
    if isinstance(value, BaseModel):
        return "see there"
    return f"`{yaml.safe_dump(value, default_flow_style=True).splitlines()[0]}`"


def _annotation(field: FieldInfo) -> str:
    limits = _limits(field.metadata)
    return _shown_type(field.annotation) + (f", {limits}" if limits else "")


def _limits(constraints: Iterable[Any]) -> str:
    """Bounds of a value in signs; constraints of a type within another stand in a FieldInfo of their own."""
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤", "min_length": "at least"}
    flat = [inner for one in constraints for inner in (one.metadata if isinstance(one, FieldInfo) else [one])]
    values = [(sign, getattr(one, name, None)) for one in flat for name, sign in signs.items()]
    return " and ".join(f"{sign} {value}" for sign, value in values if value is not None)


def _shown_type(annotation: Any) -> str:
    """A type in words, specs as links to their tables."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        limits = _limits(inner[1:])
        return _shown_type(inner[0]) + (f" {limits}" if limits else "")
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (Union, UnionType):
        kinds = [kind for kind in inner if kind is not NoneType]
        if {float, int, str, bool} <= set(kinds):
            return "values"
        if len(kinds) > 5:
            return "[an arm](#arms-one-of-these-by-method)"
        return " or ".join(_shown_type(kind) for kind in kinds)
    if origin is list:
        return f"list of {_shown_type(inner[0])}"
    if origin is dict:
        return f"mapping of {_shown_type(inner[0])} to {_shown_type(inner[1])}"
    if isinstance(annotation, type) and hasattr(annotation, "model_fields"):
        return f"[mapping](#{annotation.__name__.lower()})"
    names = {str: "text", int: "whole number", float: "number", bool: "`true` or `false`", Any: "anything"}
    return names.get(annotation, str(annotation))


# ------------------------------------------------------------------------------------------- metrics and recipes


def metrics_table() -> str:
    """Every built-in metric."""
    from harness.metrics import METRICS

    rows = [
        (f"`{name}`", {"higher": "↑", "lower": "↓"}[metric.direction], metric.unit, metric.description)
        for name, metric in METRICS.items()
    ]
    return "\n".join(_table(("metric", "better", "unit", "what it is"), rows))


def arms_table() -> str:
    """Every stock recipe, with the method, learning rate and settings of its file."""
    rows = []
    for file in sorted((ROOT / "baselines" / "arms").glob("*.yaml")):
        text = file.read_text(encoding="utf8")
        recipe = yaml.safe_load(text)
        first = text.splitlines()[0].lstrip("# ").split("  Use it:")[0]
        rate = recipe.pop("optimiser", {}).get("learning_rate")
        method = recipe.pop("method")
        rest = yaml.safe_dump(recipe, default_flow_style=True, width=1000).strip()[1:-1]
        rows.append(
            (f"`{file.stem}`", f"`{method}`", f"`{rate:.2g}`" if rate else "", f"`{rest}`" if rest else "", first)
        )
    return "\n".join(_table(("recipe", "method", "learning rate", "settings", "what it is"), rows))


# ------------------------------------------------------------------------------------------------- architecture


def package_tree() -> str:
    """Files and folders of the package with the first sentence of each, folders in the order in which data flows."""
    lines = [_entry(path.name, first_sentence(path), 0) for path in modules(PACKAGE)]
    for folder in folders_by_flow():
        lines += _folder(folder, 0)
    return "\n".join(lines)


def _entry(name: str, phrase: str, depth: int) -> str:
    return f"{'    ' * depth}- `{name}` {phrase.replace('<', '&lt;')}"


def _folder(folder: Path, depth: int) -> Iterator[str]:
    package = folder / "__init__.py"
    kinds = sorted({path.suffix for path in folder.iterdir() if path.is_file()})
    phrase = first_sentence(package) if package.is_file() else f"{', '.join(kinds)} files"
    yield _entry(f"{folder.name}/", phrase, depth)
    for path in modules(folder):
        yield _entry(path.name, first_sentence(path), depth + 1)
    for inner in folders(folder):
        yield from _folder(inner, depth + 1)


def modules(folder: Path) -> list[Path]:
    """Python files of a folder, its `__init__.py` left out."""
    return sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")


def folders(folder: Path) -> list[Path]:
    """Folders that hold part of the package's source; `stock` is what an installed wheel has of the repository."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_dir() and path.name not in ("__pycache__", "stock") and any(path.iterdir())
    )


def first_sentence(file: Path) -> str:
    """The first sentence of a module's docstring; empty without one."""
    docstring = DOCSTRING.match(file.read_text(encoding="utf8"))
    paragraph = " ".join(docstring[1].split("\n\n")[0].split()) if docstring else ""
    return re.split(r"(?<=[.?]) (?=[A-Z`])", paragraph)[0].rstrip(".:")


def folders_by_flow() -> list[Path]:
    """Folders of the package, each after those that it imports: from what people write to what people see."""
    rooms = {path.stem if path.is_file() else path.name: path for path in [*modules(PACKAGE), *folders(PACKAGE)]}
    imports = {name: _rooms_imported(path, set(rooms)) - {name} for name, path in rooms.items()}
    depths: dict[str, int] = {}

    def depth(name: str, above: frozenset[str] = frozenset()) -> int:
        if name not in depths:
            below = [depth(room, above | {name}) for room in sorted(imports[name]) if room not in above]
            depths[name] = 1 + max(below, default=0)
        return depths[name]

    inner = [name for name, path in rooms.items() if path.is_dir()]
    return [rooms[name] for name in sorted(inner, key=lambda name: (depth(name), name))]


def _rooms_imported(path: Path, rooms: set[str]) -> set[str]:
    files = [path] if path.is_file() else sorted(path.rglob("*.py"))
    text = "\n".join(file.read_text(encoding="utf8") for file in files)
    names = set(re.findall(r"^\s*(?:from|import) harness\.(\w+)", text, re.MULTILINE))
    for listed in re.findall(r"^\s*from harness import (\([^)]*\)|.*)", text, re.MULTILINE):
        names |= set(re.findall(r"\w+", listed))
    return names & rooms


# ---------------------------------------------------------------------------------------------------- decisions


def decision_pages() -> list[Path]:
    """Pages of docs/decisions beside its index."""
    return sorted(page for page in (DOCS / "decisions").glob("*.md") if page.name != "index.md")


def decision_list() -> str:
    """Every decision as a link, by its heading."""
    lines = []
    for page in decision_pages():
        title = page.read_text(encoding="utf8").splitlines()[0].lstrip("# ")
        lines.append(f"- [{title}]({page.name})")
    return "\n".join(lines)


MADE = {
    "cli": cli_reference,
    "yaml": yaml_reference,
    "metrics": metrics_table,
    "arms": arms_table,
    "tree": package_tree,
    "decisions": decision_list,
}
"""Marker → what stands there in the built page."""
