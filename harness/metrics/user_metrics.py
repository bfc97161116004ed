"""A user's own metrics: each is one Python function, named in the task as `my_metrics.py:length_ratio`.

    def length_ratio(prediction, references, example):
        "Words of the answer over words of the reference."
        return len(prediction.split()) / len(references[0].split())

    length_ratio.direction = "lower"      # or "higher"; required
    length_ratio.bounds = (0, None)       # optional: smallest and largest value, None where there is none
    length_ratio.unit = "times"           # optional

`prediction` is the answer, `references` the list of right answers, `example` the row's columns (it may be left out). A
number is the example's value, and the arm's is the mean over examples; None means that this example has none. Also
`package.module:function`, found beside the task or installed, and `evaluate:FOLDER` (`evaluate_metrics.py`). The
version of its scores is a hash of the source.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import inspect
import io
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import metrics, redaction
from harness.config import user_code
from harness.config.documents import nearest, shown
from harness.errors import DataError, UsageError
from harness.metrics import evaluate_metrics
from harness.metrics.definition import Answer, Measured, Metric
from harness.metrics.external import is_own

DIRECTIONS = ("higher", "lower")
_REFERENCE = re.compile(r"(?P<file>(?:[\w.-]+/)*[\w.-]+\.py|[A-Za-z_][\w.]*):(?P<function>[A-Za-z_]\w*)")


@dataclass(frozen=True, slots=True)
class _Function:
    """A metric function, where it stands, and what may be said of its failures."""

    call: Callable[..., Any]
    where: str
    """`FILE:FUNCTION` as a person would type it."""
    file: Path
    arguments: int
    bounds: tuple[float, float]
    sensitive: bool


def load_own(names: Iterable[str], folder: Path, *, sensitive: bool = False) -> dict[str, Metric]:
    """The metrics among `names` that the user's files or installed packages bring; `folder` is the task's.

    With `sensitive` no message repeats what the function's exceptions say, because that may quote an example.

    Raises UsageError for no such file or function, or one that does not declare what it must.
    """
    chosen = [name for name in dict.fromkeys(names) if metrics.is_added(name)]
    return {name: known_metric(name, folder, sensitive=sensitive) for name in chosen}


def load_metric(name: str, folder: Path, *, sensitive: bool = False) -> Metric:
    """One metric of the user's; see `load_own`."""
    folder = folder.resolve()
    if name.startswith(evaluate_metrics.PREFIX):
        with contextlib.redirect_stdout(sys.stderr):
            function, file = evaluate_metrics.load(name, folder)
        return _metric(name, function, (name, file, _version(file, file.parent)), sensitive)
    match = _REFERENCE.fullmatch(name)
    if match is None:
        raise UsageError(
            f"no metric can be called {name!r}", hint="Write file.py:function, the file relative to the task's folder"
        )
    with user_code.neighbours_importable(folder), contextlib.redirect_stdout(sys.stderr):
        module, file = _module(name, match["file"], folder)
        function = getattr(module, match["function"], None)
        if not callable(function):
            names = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
            hint = nearest(match["function"], names)
            raise UsageError(f"{shown(file)}: no function {match['function']!r}", hint=hint)
        version = _version(file, folder)
    return _metric(name, function, (f"{shown(file)}:{match['function']}", file, version), sensitive)


def _metric(name: str, function: Any, source: tuple[str, Path, int], sensitive: bool) -> Metric:
    """A loaded function as a metric; `source`: where it stands in words, its file, and the version of its scores."""
    where, file, version = source
    direction, bounds, unit = _declared(function, where)
    return Metric(
        name,
        _description(function, name),
        functools.partial(_measure, _Function(function, where, file, _arguments(function, where), bounds, sensitive)),
        direction=direction,
        unit=unit,
        bounds=bounds if all(map(math.isfinite, bounds)) else None,
        version=version,
    )


def known_metric(name: str, folder: Path, *, sensitive: bool = False) -> Metric:
    """`metrics.metric(name)`, of a user's own metric the one that is computed; `folder` is the task's."""
    return load_metric(name, folder, sensitive=sensitive) if is_own(name) else metrics.metric(name)


def declaration(known: Metric) -> dict[str, Any]:
    """What a report must know of an own metric where its file is not at hand; see `metrics.declared`."""
    bounds = None if known.bounds is None else list(known.bounds)
    kind = {"kind": known.kind} if known.kind == "corpus" else {}
    return {
        **kind,
        "description": known.description,
        "direction": known.direction,
        "unit": known.unit,
        "bounds": bounds,
        "version": known.version,
    }


# --------------------------------------------------------------------------------------------------------- loading


def _module(name: str, source: str, folder: Path) -> tuple[Any, Path]:
    if not source.endswith(".py"):
        try:
            module = importlib.import_module(source)
        except Exception as error:
            reason = user_code.one_line(f"{type(error).__name__}: {error}")
            raise UsageError(
                f"metric {name!r}: the module {source} cannot be imported: {reason[:200]}",
                hint="Install it, or name a file beside the task: file.py:function",
            ) from None
        if getattr(module, "__file__", None) is None:
            raise UsageError(f"metric {name!r}: the module {source} has no source file", hint="Name a file.py:function")
        return module, Path(str(module.__file__)).resolve()
    file = (folder / source).resolve()
    if not file.is_file():
        near = [str(path.relative_to(folder)) for path in folder.glob("*.py")]
        raise UsageError(f"metric {name!r}: no such file: {shown(file)}", hint=nearest(source, near))
    try:
        return user_code.import_file(file), file
    except (Exception, SystemExit) as error:
        where, reason = user_code.place_and_reason(error, file)
        raise UsageError(f"{where}: the metric's file cannot be imported: {reason}") from None


def _version(file: Path, folder: Path) -> int:
    """52 bits of a SHA-256 over the function's file and the files of the task's folder that it imports.

    Read off the import statements, not off what happens to be imported: lm-eval may have loaded other files of the
    folder in one process and not in the next.
    """
    files = user_code.imported_files(file, folder)
    total = hashlib.sha256()
    for path in sorted(files, key=lambda path: path.name):
        total.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return int(total.hexdigest()[:13], 16)


WHOLE = ("predictions", "preds", "y_true", "y_pred", "hypotheses", "outputs", "answers", "golds", "results")
"""First parameters of functions that want all answers at once, as scikit-learn and `evaluate` have them."""


def _arguments(function: Any, where: str) -> int:
    """2 or 3: whether the function wants the example's columns too."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return 3
    first = next(iter(signature.parameters), "")
    if first in WHOLE:
        raise UsageError(
            f"{where}: takes {first!r}, as a function over all answers does",
            hint="A metric is called once for each example: (prediction, references) or (prediction, references,"
            " example), where prediction is a text",
        )
    for count in (3, 2):
        try:
            signature.bind(*range(count))
        except TypeError:
            continue
        return count
    hint = "A metric takes (prediction, references) or (prediction, references, example)"
    raise UsageError(f"{where}: takes {signature}", hint=hint)


def _declared(function: Any, where: str) -> tuple[Any, tuple[float, float], str]:
    """Direction, bounds (infinite where there is none) and unit, checked."""
    name = where.rpartition(":")[2]
    direction = getattr(function, "direction", None)
    if direction not in DIRECTIONS:
        problem = "declares no direction" if direction is None else f"declares the direction {direction!r}"
        raise UsageError(f"{where} {problem}", hint=f'Write {name}.direction = "higher" or "lower" below the function')
    bounds = getattr(function, "bounds", None)
    low, high = (-math.inf, math.inf) if bounds is None else _pair(bounds, f"{where}: bounds")
    unit = getattr(function, "unit", "")
    if not isinstance(unit, str):
        raise UsageError(f"{where}: unit is {type(unit).__name__}", hint="Write it as text")
    return direction, (low, high), unit


def _pair(bounds: Any, where: str) -> tuple[float, float]:
    try:
        smallest, largest = bounds
        low = -math.inf if smallest is None else float(smallest)
        high = math.inf if largest is None else float(largest)
    except (TypeError, ValueError):
        hint = "Write (smallest, largest), None where there is none"
        raise UsageError(f"{where} are {bounds!r}", hint=hint) from None
    if not low < high:
        raise UsageError(f"{where} are {bounds!r}", hint="The smallest value comes first")
    return low, high


def _description(function: Any, name: str) -> str:
    """The first line of its docstring, or its name."""
    text = inspect.getdoc(function) or ""
    first = text.strip().splitlines()[0].rstrip(".") if text.strip() else f"the task's own function {name}"
    return f"{first}; mean over examples"


# --------------------------------------------------------------------------------------------------------- scoring


def _measure(function: _Function, answer: Answer) -> Measured | None:
    with redaction.texts(function.sensitive):
        number = _number(function, answer)
    return None if number is None else Measured(number)


def _number(function: _Function, answer: Answer) -> float | None:
    """What the function says of an answer, checked."""
    given: list[Any] = [answer.text, list(answer.references), dict(answer.fields)][: function.arguments]
    problem = f"{function.where}: example {redaction.named(answer.example)}"
    try:
        # What it prints would end up between the lines of a report.
        with contextlib.redirect_stdout(io.StringIO() if function.sensitive else sys.stderr):
            value = function.call(*given)
    except (Exception, SystemExit) as error:
        where, reason = user_code.place_and_reason(error, function.file)
        raise DataError(f"{problem}: the metric failed at {where}: {redaction.reason(error, reason)}") from None
    if value is None:
        return None
    try:
        number = float(value) if hasattr(value, "__float__") else None
    except Exception:
        number = None
    if number is None:
        raise DataError(f"{problem}: the metric gave {type(value).__name__}", hint="Return a number, or None")
    if not math.isfinite(number):
        raise DataError(f"{problem}: the metric gave {number}", hint="Return a finite number, or None for no value")
    low, high = function.bounds
    if not low <= number <= high:
        raise DataError(
            f"{problem}: the metric gave {number:g}, outside its bounds ({low:g}, {high:g})",
            hint="Correct the function, or its `bounds`",
        )
    return number


def try_out(own: Mapping[str, Metric], answers: Iterable[Answer]) -> None:
    """Call every metric on every answer, so that a broken one is found before anything is trained. Raises DataError."""
    for answer in answers:
        for metric in own.values():
            metric.score(answer)
