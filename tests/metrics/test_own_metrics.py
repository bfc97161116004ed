"""A user's own metric: a file beside the task, declared, versioned by its source, refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import DataError, UsageError
from harness.metrics import Answer, declared, is_own, metric, score_predictions
from harness.metrics.user_metrics import declaration, load_metric, load_own, try_out
from harness.records import Example, Prediction

GOOD = '''
def length_ratio(prediction, references, example):
    """Words of the answer over words of the reference."""
    return len(prediction.split()) / example["size"]

length_ratio.direction = "lower"
length_ratio.bounds = (0, None)
length_ratio.unit = "times"
'''
NAME = "my_metrics.py:length_ratio"


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def make(text: str, name: str = "my_metrics.py") -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path

    return make


def answer(text: str, **fields: Any) -> Answer:
    return Answer(text, ("one two",), None, "stop", "e7", fields)


def function(body: str, more: str = 'm.direction = "higher"') -> str:
    return f"def m(prediction, references):\n    {body}\n{more}\n"


def test_it_scores_from_prediction_references_and_columns(write: Callable[[str], Path]) -> None:
    known = load_metric(NAME, write(GOOD))
    assert (known.direction, known.unit, known.bounds, known.kind) == ("lower", "times", None, "example")
    assert known.description == "Words of the answer over words of the reference; mean over examples"
    measured = known.score(answer("a b c", size=2))
    assert measured is not None and measured.value == 1.5


def test_two_arguments_are_enough_and_none_means_missing(write: Callable[[str], Path]) -> None:
    folder = write(function("return None if prediction == 'x' else prediction in references"))
    own = load_own(["m.py:m", "rouge_l", "my_metrics.py:m"][1:], folder)
    examples = [Example(name, name, (text,), prompt="p") for name, text in (("a", "x"), ("b", "y"), ("c", "z"))]
    predictions = [
        Prediction("v", name, "h", text, "stop", 1, 1, 0.1) for name, text in (("a", "x"), ("b", "y"), ("c", "n"))
    ]
    scores = score_predictions(["my_metrics.py:m"], "v", predictions, examples, None, own)
    assert [(score.status, score.value) for score in scores] == [("missing", None), ("ok", 1.0), ("ok", 0.0)]
    assert {score.version for score in scores} == {own["my_metrics.py:m"].version}
    with pytest.raises(UsageError, match="was not loaded"):
        score_predictions(["my_metrics.py:m"], "v", predictions, examples)


def test_the_version_follows_the_source_and_its_neighbours(write: Callable[[str], Path]) -> None:
    folder = write("K = 1\n", "helper.py")
    write("import helper\n" + function("return helper.K"))
    first = load_metric("my_metrics.py:m", folder)
    assert load_metric("my_metrics.py:m", folder).version == first.version
    write("K = 2\n", "helper.py")
    second = load_metric("my_metrics.py:m", folder)
    write("import helper\n" + function("return helper.K "))
    third = load_metric("my_metrics.py:m", folder)
    values = [known.score(answer("x")) for known in (first, second, third)]
    assert [one.value for one in values if one] == [1.0, 2.0, 2.0]
    assert len({first.version, second.version, third.version}) == 3
    assert all(0 <= known.version < 2**53 for known in (first, second, third))


def test_the_version_does_not_depend_on_where_it_lies(tmp_path: Path) -> None:
    versions = set()
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "my_metrics.py").write_text(GOOD)
        versions.add(load_metric(NAME, tmp_path / name).version)
    assert len(versions) == 1


def test_a_dotted_module_beside_the_task_and_an_installed_one(write: Callable[[str], Path]) -> None:
    assert load_metric("my_metrics:length_ratio", write(GOOD)).direction == "lower"
    with pytest.raises(UsageError, match=r"harness\.metrics\.facts\.py|facts\.py:fabrications declares no direction"):
        load_metric("harness.metrics.facts:fabrications", write(GOOD))


def test_what_it_declares_comes_back_without_its_file(write: Callable[[str], Path]) -> None:
    known = load_metric("my_metrics.py:m", write(function("return 1", 'm.direction = "lower"\nm.bounds = (0, 5)')))
    far = declared(known.name, declaration(known))
    assert (far.direction, far.bounds, far.unit, far.version) == ("lower", (0.0, 5.0), "", known.version)
    assert str(write("")) not in str(declaration(known))


@pytest.mark.parametrize("name", ["rouge_l", "task/acc", "mmlu:stem/acc"])
def test_other_metrics_are_not_taken_for_own_ones(name: str) -> None:
    assert not is_own(name)
    assert metric(name).name == name


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        (GOOD, "my_metric.py:length_ratio", r"no such file: .*my_metric\.py\. Did you mean 'my_metrics\.py'\?"),
        (GOOD, "my_metrics.py:length", r"my_metrics\.py: no function 'length'\. Did you mean 'length_ratio'\?"),
        (
            function("return 1", ""),
            "my_metrics.py:m",
            r'my_metrics\.py:m declares no direction\. Write m\.direction = "h',
        ),
        (function("return 1", "m.direction = 'up'"), "my_metrics.py:m", "declares the direction 'up'"),
        (function("return 1", "m.direction='lower'; m.bounds=(1, 0)"), "my_metrics.py:m", r"bounds are \(1, 0\)"),
        (function("return 1", "m.direction='lower'; m.bounds=1"), "my_metrics.py:m", "bounds are 1"),
        (function("return 1", "m.direction='lower'; m.unit=1"), "my_metrics.py:m", "unit is int"),
        (
            "def m(a):\n    return 1\nm.direction = 'lower'\n",
            "my_metrics.py:m",
            r"takes \(a\)\. A metric takes",
        ),
        ("import nothing_such\n", "my_metrics.py:m", r"my_metrics\.py:1: the metric's file cannot be imported: Module"),
        ("def m(\n", "my_metrics.py:m", r"my_metrics\.py:1: the metric's file cannot be imported: "),
        (GOOD, "no_such_module:m", "the module no_such_module cannot be imported"),
        (GOOD, "a b.py:m", "no metric can be called"),
        (GOOD, "/etc/x.py:m", "no metric can be called"),
    ],
)
def test_refusals_name_the_file_and_the_way_on(write: Any, text: str, name: str, message: str) -> None:
    folder = write(text)
    with pytest.raises(UsageError, match=message) as caught:
        load_metric(name, folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 1 / 0", r"example e7: the metric failed at .*my_metrics\.py:2: ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "example e7: the metric failed"),
        ("return 'high'", "example e7: the metric gave str. Return a number, or None"),
        ("return float('nan')", "example e7: the metric gave nan. Return a finite number"),
        ("return 2", r"example e7: the metric gave 2, outside its bounds \(0, 1\)"),
    ],
)
def test_a_failure_names_file_function_and_example(write: Any, body: str, message: str) -> None:
    folder = write(function(body, 'm.direction = "higher"\nm.bounds = (0, 1)'))
    known = load_own(["my_metrics.py:m"], folder)
    with pytest.raises(DataError, match=r"my_metrics\.py:m: " + message) as caught:
        try_out(known, [answer("x")])
    assert "\n" not in str(caught.value)


def test_neither_text_nor_id_of_a_sensitive_example_is_quoted(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(function("print(prediction); raise ValueError(prediction)"))
    for sensitive, quoted in ((False, True), (True, False)):
        with pytest.raises(DataError, match=r"my_metrics\.py:2: ValueError") as caught:
            try_out(load_own(["my_metrics.py:m"], folder, sensitive=sensitive), [answer("SECRET")])
        said = str(caught.value)
        assert [word in said for word in ("SECRET", "e7")] == [quoted, quoted]
        assert ("SECRET" in capsys.readouterr().err) is quoted


def test_what_it_prints_stays_out_of_reports(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write("print('hello')\n" + function("print('there'); return 1"))
    try_out(load_own(["my_metrics.py:m"], folder), [answer("x")])
    captured = capsys.readouterr()
    assert captured.out == "" and "hello" in captured.err and "there" in captured.err
