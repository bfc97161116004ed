"""YAML files with line numbers, and their validation against a spec.

Values follow YAML 1.2's core schema, unlike PyYAML's own 1.1: `on`, `off`, `yes` and `no` are text, `1e-4` and
`2.0e-4` are numbers, `012` is twelve and dates stay text. A key given twice is an error. Whatever is wrong becomes one
SpecError: `FILE:LINE: field.path: what is wrong. What to do`.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import itertools
import math
import re
import textwrap
import typing
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from harness.errors import SpecError

S = TypeVar("S", bound="Spec")
FieldPath = tuple[str | int, ...]
MAX_NODES = 50_000
"""Values in one file, aliases expanded: a nest of aliases that grows without end is refused."""


class Spec(BaseModel):
    """Base of every spec: frozen, no unknown fields, documented fields, no silent type conversion of text."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, protected_namespaces=())

    @classmethod
    def field_docs(cls) -> dict[str, str]:
        """Field → the docstring under it, of base classes too. Reads the source, so only who shows them asks."""
        docs: dict[str, str] = {}
        for base in cls.__bases__:
            docs |= base.field_docs() if issubclass(base, Spec) else {}
        [definition] = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
        assert isinstance(definition, ast.ClassDef)
        for field, text in itertools.pairwise(definition.body):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
                docs[field.target.id] = inspect.cleandoc(str(ast.literal_eval(text.value)))
        return docs


def _written_path(path: str) -> str:
    """`path` with `~` written out. Raises ValueError for one that YAML has changed."""
    broken = next((character for character in path if ord(character) < 32), None)
    if broken is not None:
        raise ValueError(
            f"the path holds {broken!r}, which YAML makes of a backslash in double quotes: write forward slashes"
        )
    return str(Path(path).expanduser()) if path.startswith("~") else path


FilePath = Annotated[str, AfterValidator(_written_path)]
"""A path, a glob, or another name that may be a path."""


def backslash_hint(path: str, otherwise: str) -> str:
    """What to do about a path that leads nowhere."""
    return f"Write forward slashes: {path.replace(chr(92), '/')}" if "\\" in path else otherwise


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML file: its value, and the line (from 1) of every field, list item and text in it."""

    file: Path
    value: Any
    lines: Mapping[FieldPath, int]
    """Line of the key, or of the list item."""
    texts: Mapping[FieldPath, int]
    """Line on which the text of a scalar begins: the line after `|` in a block."""
    blocks: frozenset[FieldPath]
    """Scalars written as blocks, whose lines are lines of the file."""

    def line(self, path: FieldPath) -> int:
        """Line of `path`, or of what encloses it where it is not in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def template_line(self, path: FieldPath, line: int) -> int:
        """Line of this file on which line `line` (from 1) of the template at `path` stands."""
        start = self.texts.get(path, self.line(path))
        return start + line - 1 if path in self.blocks else start

    def error(self, path: FieldPath, message: str, hint: str = "") -> SpecError:
        """The error to raise about the field at `path`."""
        return SpecError(message, file=shown(self.file), line=self.line(path), field=field_name(path), hint=hint)


def field_name(path: Sequence[str | int]) -> str:
    """`("arms", 1, "lora", "r")` as `arms[1].lora.r`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def shown(path: Path) -> str:
    """`path` as a person would type it: relative to the working directory where it lies below it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def nearest(name: str, known: Collection[str]) -> str:
    """`Did you mean 'x'?`, or the list of what is known, or nothing."""
    close = difflib.get_close_matches(name, sorted(known), n=1)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Known: {', '.join(sorted(known))}" if known else ""


def list_names(names: Collection[str]) -> str:
    """Names for a message, in order, without duplicates."""
    return ", ".join(dict.fromkeys(str(name) for name in names)) or "none"


# ------------------------------------------------------------------------------------------------------- reading


class _Loader(yaml.SafeLoader):
    """Resolves plain scalars by YAML 1.2's core schema."""

    yaml_implicit_resolvers: typing.ClassVar[dict[str, Any]] = {}  # type: ignore[misc]


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", [*"~nN", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", [*"-+0123456789"]),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", [*"-+.0123456789"]),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", [*"-+."]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)


def read_document(file: Path) -> Document:
    """The one document in `file`, a mapping of fields. Raises SpecError."""
    name = shown(file)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SpecError("no such file", file=name, hint="Check the path") from None
    except UnicodeDecodeError as error:
        raise SpecError(f"not UTF-8 text ({error.reason} at byte {error.start})", file=name) from None
    except OSError as error:
        raise SpecError(f"cannot be read: {error.strerror or error}", file=name) from None
    try:
        node = _Loader(text).get_single_node()
        if node is None:
            raise SpecError("the file is empty", file=name, line=1, hint="Write a task, an arm or an experiment")
        builder = _Builder(name)
        value = builder.build(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(f"{error.context or ''} {error.problem or ''}".split())
        raise SpecError(f"broken YAML: {problem}", file=name, line=mark.line + 1 if mark else None) from None
    except yaml.YAMLError as error:
        position = getattr(error, "position", None)
        line = text.count("\n", 0, position) + 1 if isinstance(position, int) else None
        reason = getattr(error, "reason", "unreadable")
        raise SpecError(f"broken YAML: {reason}", file=name, line=line) from None
    except RecursionError:
        raise SpecError("broken YAML: nested too deeply", file=name) from None
    if not isinstance(value, dict):
        raise SpecError(f"must be a mapping of fields, found {describe(value)}", file=name, line=1)
    return Document(file, value, builder.lines, builder.texts, frozenset(builder.blocks))


class _Builder:
    """Turns YAML nodes into plain values and remembers where each stood."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: dict[FieldPath, int] = {}
        self.texts: dict[FieldPath, int] = {}
        self.blocks: set[FieldPath] = set()
        self._open: set[int] = set()
        self._nodes = 0

    def build(self, node: yaml.Node, path: FieldPath) -> Any:
        """Value of `node`, which stands at `path`."""
        self._nodes += 1
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        if self._nodes > MAX_NODES or id(node) in self._open:
            raise self._error(line, path, "aliases make this file endless")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        self._open.add(id(node))
        if isinstance(node, yaml.MappingNode):
            value: Any = self._mapping(node, path)
        else:
            self._plain(node, path, "seq")
            value = [self.build(item, (*path, position)) for position, item in enumerate(node.value)]
        self._open.discard(id(node))
        return value

    def _mapping(self, node: yaml.MappingNode, path: FieldPath) -> dict[str, Any]:
        self._plain(node, path, "map")
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None or not isinstance(key, str):
                raise self._error(line, path, "a field's name must be text")
            here = (*path, key)
            if key in found:
                raise self._error(line, here, f"given twice (first on line {self.lines[here]})", "Keep one of the two")
            self.lines[here] = line
            found[key] = self.build(value_node, here)
        return found

    def _scalar(self, node: yaml.ScalarNode, path: FieldPath) -> Any:
        text, line = node.value, node.start_mark.line + 1
        self.texts[path] = line + 1 if node.style in ("|", ">") else line
        if node.style == "|":
            self.blocks.add(path)
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        try:
            if kind == "null":
                return None
            if kind == "bool":
                return text.lower() == "true"
            if kind == "int":
                return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
            if kind == "float":
                number = float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
                if not math.isfinite(number):
                    raise self._error(line, path, f"{text} is not a finite number")
                return number
        except ValueError:
            raise self._error(line, path, f"{text[:40]!r} is not a number") from None
        if kind != "str":
            raise self._error(line, path, f"the tag {node.tag} is not supported", "Remove it")
        return text

    def _plain(self, node: yaml.Node, path: FieldPath, kind: str) -> None:
        if node.tag != f"tag:yaml.org,2002:{kind}":
            raise self._error(node.start_mark.line + 1, path, f"the tag {node.tag} is not supported", "Remove it")

    def _error(self, line: int, path: FieldPath, message: str, hint: str = "") -> SpecError:
        return SpecError(message, file=self.name, line=line, field=field_name(path), hint=hint)


def find_field(folder: Path, task: str, path: FieldPath, template_line: int = 0) -> tuple[str, int | None]:
    """File and line of field `path` of the task named `task` in `folder`; the folder alone where it is not found.

    With `template_line` (from 1) the line of that line of the template that the field holds.
    """
    for file in (folder / "task.yaml", *sorted(folder.glob("*.yaml")), *sorted(folder.glob("*.yml"))):
        try:
            document = read_document(file)
        except SpecError:
            continue
        if document.value.get("name") == task:
            return shown(file), document.template_line(path, template_line) if template_line else document.line(path)
    return shown(folder), None


# ---------------------------------------------------------------------------------------------------- validation


def validate(document: Document, path: FieldPath, kind: type[S], value: Any) -> S:
    """`value`, which stands at `path` of `document`, as a `kind`; nothing is converted silently. Raises SpecError."""
    try:
        return kind.model_validate(value, strict=True)
    except ValidationError as error:
        details = error.errors(include_url=False)
        located = [(_path_in(value, detail), detail) for detail in details]
        # A union reports every branch; the branch that got furthest says what is meant.
        paths = [found for found, _ in located]
        located = [
            (found, detail)
            for found, detail in located
            if not any(len(other) > len(found) and other[: len(found)] == found for other in paths)
            or not detail["type"].endswith("_type")
        ]
        found, detail = min(
            located, key=lambda item: (item[1]["type"] != "extra_forbidden", document.line((*path, *item[0])))
        )
        same = [other for place, other in located if place == found]
        message, hint = _explain(kind, found, detail, same)
        raise document.error((*path, *found), message, hint) from None


def describe(value: Any) -> str:
    """A value in a few words, for a message."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"text {value[:40]!r}"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    return "a list" if isinstance(value, (list, tuple)) else "a mapping"


def _path_in(value: Any, detail: ErrorDetails) -> FieldPath:
    """Pydantic's location without the names of union branches, which are no part of the file."""
    path: list[str | int] = []
    parts = detail["loc"]
    for position, part in enumerate(parts):
        in_list = isinstance(value, (list, tuple)) and isinstance(part, int) and part < len(value)
        if in_list or (isinstance(value, dict) and part in value):
            path.append(part)
            value = value[part]
        elif detail["type"] == "missing" and position == len(parts) - 1:
            path.append(part)
    return tuple(path)


_KINDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping of fields",
    "model_type": "a mapping of fields",
}
_BOUNDS = {
    "greater_than": ("greater than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}


def _explain(kind: type[Spec], path: FieldPath, detail: ErrorDetails, same: Sequence[ErrorDetails]) -> tuple[str, str]:
    """What is wrong and what to do about it, from pydantic's error at `path`."""
    problem, found, context = detail["type"], detail["input"], detail.get("ctx", {})
    owner = _owner(kind, path)
    if problem == "extra_forbidden":
        known = list(owner.model_fields) if owner else []
        close = difflib.get_close_matches(str(path[-1]), known, n=1)
        return "unknown field", f"Did you mean {close[0]!r}?" if close else f"Fields here: {list_names(known)}"
    if problem == "missing":
        documented = owner.field_docs().get(str(path[-1]), "") if owner else ""
        return "this field is required and missing", documented.split("\n")[0]
    if problem in _KINDS:
        kinds = list(dict.fromkeys(_KINDS[other["type"]] for other in same if other["type"] in _KINDS))
        return f"must be {' or '.join(kinds)}, found {describe(found)}", ""
    if problem in _BOUNDS:
        words, key = _BOUNDS[problem]
        return f"must be {words} {context[key]:g}, found {found}", ""
    if problem == "literal_error":
        choices = re.findall(r"'([^']*)'", context.get("expected", ""))
        close = difflib.get_close_matches(str(found), choices, n=1)
        return (
            f"{describe(found)} is not one of {', '.join(choices)}",
            f"Did you mean {close[0]!r}?" if close else "",
        )
    if problem == "string_pattern_mismatch":
        return f"{found!r} is no name", "Use letters, digits, '-', '_' and '.', and begin with a letter or digit"
    if problem == "too_short":
        return "must not be empty", "Give at least one"
    if problem == "value_error":
        return str(context.get("error", detail["msg"])), ""
    return detail["msg"], ""


def _owner(kind: type[Spec], path: FieldPath) -> type[Spec] | None:
    """The spec class whose field the last part of `path` is."""
    owner: type[Spec] | None = kind
    for part in path[:-1]:
        if isinstance(part, int) or owner is None:
            continue
        field = owner.model_fields.get(part)
        owner = _spec_in(field.annotation) if field else None
    return owner


def _spec_in(annotation: Any) -> type[Spec] | None:
    if isinstance(annotation, type) and not typing.get_origin(annotation) and issubclass(annotation, Spec):
        return annotation
    return next((found for found in map(_spec_in, typing.get_args(annotation)) if found), None)
