"""A metric of the library `evaluate` from a folder beside the task: offline, declared, versioned by its source."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.errors import DataError, UsageError
from harness.metrics import Answer, declared, is_own, score_predictions
from harness.metrics.user_metrics import declaration, load_metric, load_own, try_out
from harness.records import Example, Prediction

NAME = "evaluate:metrics/shared_words"
SCRIPT = """
import datasets
import evaluate


class SharedWords(evaluate.Metric):
    direction = "higher"
    bounds = (0, 1)

    def _info(self):
        text = datasets.Value("string")
        features = datasets.Features({"predictions": text, "references": REFERENCES})
        return evaluate.MetricInfo(description="d", citation="", inputs_description="", features=features)

    def _compute(self, predictions, references):
        words = [set(text.split()) for text in predictions]
        known = [set(" ".join([given] if isinstance(given, str) else given).split()) for given in references]
        shared = [len(ours & theirs) / len(ours) for ours, theirs in zip(words, known)]
        return RESULT
"""
SEVERAL, SINGLE = "datasets.Sequence(text)", "text"
ONE, TWO = '{"mean": sum(shared) / len(shared)}', '{"mean": sum(shared) / len(shared), "words": len(words[0])}'


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One folder for what the library copies: it stays imported from there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("evaluate.config.HF_MODULES_CACHE", tmp_path_factory.mktemp("modules"))
        patch.setattr("evaluate.config.HF_EVALUATE_OFFLINE", True)
        yield


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def make(references: str = SEVERAL, result: str = ONE, text: str = SCRIPT) -> Path:
        file = tmp_path / "metrics" / "shared_words" / "shared_words.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.replace("REFERENCES", references).replace("RESULT", result))
        return tmp_path

    return make


def answer(text: str, *references: str) -> Answer:
    return Answer(text, references, None, "stop", "e7")


def test_it_scores_each_answer_and_the_arm_is_the_mean(write: Callable[..., Path]) -> None:
    own = load_own([NAME, "rouge_l"], write())
    assert list(own) == [NAME] and is_own(NAME)
    metric = own[NAME]
    assert (metric.direction, metric.bounds, metric.kind) == ("higher", (0.0, 1.0), "example")
    examples = [Example(name, name, ("a b", "c"), prompt="p") for name in ("x", "y")]
    predictions = [Prediction("v", name, "h", text, "stop", 1, 1, 0.1) for name, text in (("x", "a c"), ("y", "a z"))]
    scores = score_predictions([NAME], "v", predictions, examples, None, own)
    assert [(score.status, score.value, score.version) for score in scores] == [
        ("ok", 1.0, metric.version),
        ("ok", 0.5, metric.version),
    ]
    far = declared(NAME, declaration(metric))
    assert (far.direction, far.bounds, far.version) == ("higher", (0.0, 1.0), metric.version)


def test_the_version_follows_the_source(write: Callable[..., Path]) -> None:
    versions = [load_metric(NAME, write(result=result)).version for result in (ONE, TWO, ONE)]
    assert versions[0] == versions[2] != versions[1]


def test_one_of_several_numbers_is_named(write: Callable[..., Path]) -> None:
    folder = write(result=TWO, text=SCRIPT.replace("bounds = (0, 1)", "bounds = (0, None)"))
    measured = load_metric(f"{NAME}:words", folder).score(answer("a b c", "a"))
    assert measured is not None and measured.value == 3.0
    for name in (NAME, f"{NAME}:no_such"):
        with pytest.raises(DataError, match=r"example e7: the metric failed at .*mean, words"):
            try_out({"m": load_metric(name, folder)}, [answer("a", "a")])


def test_a_metric_of_one_reference_refuses_several(write: Callable[..., Path]) -> None:
    metric = load_metric(NAME, write(SINGLE))
    measured = metric.score(answer("a b", "a"))
    assert measured is not None and measured.value == 0.5
    with pytest.raises(DataError, match=r"example e7: .* one reference, and there are 2"):
        metric.score(answer("a b", "a", "b"))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("evaluate:metrics/no_such", SCRIPT, "metric 'evaluate:metrics/no_such' cannot be loaded: "),
        (NAME, SCRIPT.replace('direction = "higher"', ""), "shared_words declares no direction"),
        (NAME, "import nothing_such\n" + SCRIPT, "cannot be loaded: .*nothing_such"),
    ],
)
def test_refusals_are_one_line(write: Callable[..., Path], name: str, text: str, message: str) -> None:
    folder = write(text=text)
    with pytest.raises(UsageError, match=message) as caught:
        load_metric(name, folder)
    assert "\n" not in str(caught.value)
