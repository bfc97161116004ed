"""Reads rows from a data source: jsonl, csv and parquet files, Hugging Face data sets, and builder functions.

A row is a mapping of column to plain JSON value together with where it came from, so that every later error can name
file and line.
"""

from __future__ import annotations

import csv
import datetime
import decimal
import glob
import gzip
import hashlib
import inspect
import io
import json
import math
import platform
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import redaction
from harness.config import user_code
from harness.config.documents import backslash_hint, list_names, nearest, shown
from harness.errors import DataError


@dataclass(frozen=True, slots=True)
class Row:
    """One row: where it stands, for messages, and its columns."""

    where: str
    values: Mapping[str, Any]
    rewritten: str = ""
    """A number of the file that reads and prints otherwise than it is written there: `1.10` as 1.1."""


# -------------------------------------------------------------------------------------------------------- files


def find_files(patterns: str | Sequence[str], folder: Path) -> list[Path]:
    """The files that paths or globs name, relative to `folder`, each once. Raises DataError when one names none."""
    paths: dict[Path, None] = {}
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        literal = folder / pattern
        if literal.is_file():
            paths[literal.resolve()] = None
            continue
        # Path.glob refuses absolute patterns and `..`; both are ordinary here.
        names = glob.glob(str(Path(glob.escape(str(folder))) / pattern), recursive=True)  # noqa: PTH207
        files = sorted(Path(name).resolve() for name in names if Path(name).is_file())
        if not files:
            hint = backslash_hint(pattern, "Paths are relative to the task file")
            raise DataError(f"{shown(folder)}: no data file matches {pattern!r}", hint=hint)
        paths.update(dict.fromkeys(files))
    return list(paths)


def read_file(path: Path) -> list[Row]:
    """Rows of one file, by its suffix. Raises DataError with file and line."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes[-1:] == [".gz"]
    suffix = next(iter(suffixes[-2:-1] if packed else suffixes[-1:]), "")
    if suffix not in _READERS:
        kinds = list_names(_READERS)
        raise DataError(f"{shown(path)}: unknown kind of file {suffix!r}", hint=f"Use {kinds}, as it is or as .gz")
    try:
        raw = gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
        return list(_READERS[suffix](raw, shown(path)))
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{shown(path)}: cannot be read: {reason}") from None


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _jsonl(raw: bytes, file: str) -> Iterator[Row]:
    """One object a line, or the objects of one JSON array."""
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    array = raw.lstrip()[:1] == b"["
    if raw.lstrip()[:1] == b"{" and raw.count(b"\n") > 1:
        _refuse_one_object(raw, file)
    parts = [raw] if array else raw.split(b"\n")
    values: list[tuple[str, Any]] = []
    for number, part in enumerate(parts, 1):
        where = file if array else f"{file}:{number}"
        text = _decoded(part, where).rstrip()
        if not text.strip():
            continue
        try:
            value = json.loads(text, parse_constant=_no_constant, parse_float=_Float)
        except json.JSONDecodeError as error:
            hint = "Each line is one JSON object, or the file is one JSON array of objects"
            line = f"{file}:{error.lineno}" if array else where
            raise DataError(f"{line}: broken JSON: {error.msg} at column {error.colno}", hint=hint) from None
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: broken JSON: {redaction.reason(error, str(error))}") from None
        values += [(f"{file} item {place}", item) for place, item in enumerate(value, 1)] if array else [(where, value)]
    for where, value in values:
        if not isinstance(value, dict):
            kind = "a list" if isinstance(value, list) else redaction.quoted(value)[:40]
            raise DataError(f"{where}: found {kind} in place of a JSON object", hint="A row is an object of columns")
    if len(values) == 1:
        _refuse_wrapped(*values[0])
    yield from (make_row(value, where) for where, value in values)


def _refuse_one_object(raw: bytes, file: str) -> None:
    """Raise DataError where a whole file of several lines is one object, all rows inside."""
    try:
        json.loads(raw.partition(b"\n")[0])
    except ValueError:
        try:
            whole = json.loads(raw)
        except (ValueError, RecursionError):
            return  # broken, and said so line by line
        _refuse_wrapped(f"{file}:1", whole)


def _refuse_wrapped(where: str, only: Mapping[str, Any]) -> None:
    """Raise DataError where the one object of a file holds all rows: under a key, or column by column."""
    lists = {name: value for name, value in only.items() if isinstance(value, list) and len(value) > 1}
    key = next((name for name, rows in lists.items() if all(isinstance(row, dict) for row in rows)), None)
    if any("role" in item or "from" in item for value in lists.values() for item in value if isinstance(item, dict)):
        return
    if len(lists) == len(only) > 1 and len({len(value) for value in lists.values()}) == 1:
        raise DataError(f"{where}: each column is one list", hint="Write one object for each row: a line, or an item")
    if key is not None:
        hint = "Save that list as the file: one JSON array of objects, or one object a line"
        raise DataError(f"{where}: the rows stand in a list under {key!r}", hint=hint)


class _Float(float):
    """A JSON number, with the text that it has in the file."""

    text: str

    def __new__(cls, text: str) -> _Float:
        number = super().__new__(cls, text)
        number.text = text
        return number


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value; write null")


def _csv(raw: bytes, file: str, delimiter: str = ",") -> Iterator[Row]:
    text = _decoded(raw.removeprefix(b"\xef\xbb\xbf"), file)
    limit = csv.field_size_limit(2**31 - 1)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        header = next(reader, None)
        if not header:
            raise DataError(f"{file}:1: the file has no header line", hint="The first line names the columns")
        _check_delimiter(header, delimiter, file)
        twice = sorted({name for name in header if header.count(name) > 1})
        if twice:
            raise DataError(f"{file}:1: column {twice[0]!r} stands twice in the header")
        line = reader.line_num + 1
        for cells in reader:
            where, line = f"{file}:{line}", reader.line_num + 1
            if not cells:
                continue
            if len(cells) != len(header):
                raise DataError(
                    f"{where}: {len(cells)} cells where the header has {len(header)}",
                    hint="Quote cells that hold commas or line breaks",
                )
            yield make_row(dict(zip(header, cells, strict=True)), where)
    except csv.Error as error:
        raise DataError(f"{file}:{reader.line_num}: broken CSV: {error}") from None
    finally:
        csv.field_size_limit(limit)


def _check_delimiter(header: Sequence[str], delimiter: str, file: str) -> None:
    """Raise DataError for a header that another delimiter would split, so that no column gets a list of names."""
    if len(header) > 1:
        return
    names = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
    told = header[0].removeprefix("sep=") if header[0].startswith("sep=") else ""
    other = next((mark for mark in names if mark != delimiter and (mark in header[0] or mark == told)), None)
    if other is not None:
        raise DataError(
            f"{file}:1: the columns are separated by {names[other]}, not by {names[delimiter]}",
            hint="A .csv file is separated by commas and a .tsv file by tabs: save it as one of them"
            + (", without the line `sep=`" if told else ""),
        )


def _tsv(raw: bytes, file: str) -> Iterator[Row]:
    return _csv(raw, file, "\t")


def _parquet(raw: bytes, file: str) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(pyarrow.BufferReader(raw))
    except (pyarrow.ArrowException, ValueError) as error:
        reason = redaction.reason(error, user_code.one_line(error))
        raise DataError(f"{file}: not a readable parquet file: {reason}") from None
    for number, values in enumerate(table.to_pylist(), 1):
        yield make_row(values, f"{file} row {number}")


_READERS = {
    ".jsonl": _jsonl, ".ndjson": _jsonl, ".json": _jsonl, ".csv": _csv, ".tsv": _tsv, ".parquet": _parquet,
}  # fmt: skip


def _decoded(raw: bytes, where: str) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start)
        location = f"{where}:{line + 1}" if raw.count(b"\n") > 1 else where
        raise DataError(f"{location}: not UTF-8 text ({error.reason})", hint="Save the file as UTF-8") from None


# ------------------------------------------------------------------------------------------------------- builders


def read_builder(reference: str, options: Mapping[str, Any], folder: Path) -> list[Row]:
    """Rows that the function named by `reference` (`file.py:function`, relative to `folder`) yields for `options`.

    Options are keyword arguments; a function whose one parameter is called `options` gets the mapping.
    Modules beside the builder can be imported by it; they are forgotten afterwards, so that two tasks may both have a
    `helpers.py`. Whatever fails in there becomes a DataError with file and line.
    """
    file_name, _, function_name = reference.partition(":")
    file = (folder / file_name).resolve()
    if not function_name or not file.is_file():
        problem = "no such file" if function_name else "no function named"
        raise DataError(f"builder {reference!r}: {problem} ({shown(file)})", hint="Write it as file.py:function")
    with user_code.neighbours_importable(file.parent):
        try:
            module = user_code.import_file(file)
        except Exception as error:
            raise _builder_error(error, file, "cannot be imported") from None
        function = getattr(module, function_name, None)
        if not callable(function):
            functions = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
            raise DataError(f"{shown(file)}: no function {function_name!r}", hint=nearest(function_name, functions))
        whole = list(inspect.signature(function).parameters) == ["options"]
        if not whole:
            _check_options(function, options, f"{shown(file)}:{function_name}")
        try:
            rows = function(options) if whole else function(**options)
            if not isinstance(rows, Iterable):
                raise DataError(f"{shown(file)}:{function_name}: gave {type(rows).__name__} in place of rows")
            result = []
            for number, values in enumerate(rows, 1):
                where = f"{shown(file)}:{function_name} row {number}"
                if not isinstance(values, Mapping):
                    raise DataError(f"{where}: found {type(values).__name__} in place of a mapping of columns")
                result.append(make_row(values, where))
            return result
        except DataError:
            raise
        except (Exception, SystemExit) as error:
            raise _builder_error(error, file, "failed") from None


def builder_provenance(reference: str, options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The builder, its options, the hash of its file and the Python version, for the task's manifest."""
    file = folder / reference.partition(":")[0]
    return {
        "builder": reference,
        "options": dict(options),
        "sha256": file_hash(file),
        "python": platform.python_version(),
    }


def _check_options(function: Any, options: Mapping[str, Any], where: str) -> None:
    parameters = inspect.signature(function).parameters.values()
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters)
    for option in options:
        if option not in named and not open_ended:
            raise DataError(f"{where}: unknown option {option!r}", hint=nearest(option, named))
    for parameter in parameters:
        if parameter.name in named and parameter.default is parameter.empty and parameter.name not in options:
            raise DataError(f"{where}: the option {parameter.name!r} is required", hint="Give it under `options`")


def _builder_error(error: BaseException, file: Path, what: str) -> DataError:
    location, reason = user_code.place_and_reason(error, file)
    return DataError(f"{location}: the builder {what}: {redaction.reason(error, reason)}")


# --------------------------------------------------------------------------------------------------------- values


def make_row(values: Mapping[Any, Any], where: str) -> Row:
    """A row of plain JSON values. Raises DataError for values that have no plain form and for unpaired surrogates."""
    numbers = (value for value in values.values() if isinstance(value, _Float) and str(float(value)) != value.text)
    plain = {str(name): _plain(value, f"{where}: column {str(name)!r}") for name, value in values.items()}
    return Row(where, plain, next((number.text for number in numbers), ""))


def _plain(value: Any, where: str) -> Any:
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise DataError(f"{where}: holds half of a Unicode surrogate pair, which is no character") from None
        return str(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        if math.isinf(value):
            raise DataError(f"{where}: holds an infinite number")
        return None if math.isnan(value) else float(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(item, where) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, where) for item in value]
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (decimal.Decimal, uuid.UUID, datetime.timedelta)):
        return str(value)
    if isinstance(value, (bytes, bytearray)):
        # No text, but a change of it must change the fingerprint.
        return f"sha256:{hashlib.sha256(value).hexdigest()}"
    if hasattr(value, "tolist"):
        return _plain(value.tolist(), where)
    raise DataError(f"{where}: holds a {type(value).__name__}, which is no text, number, list or mapping")
