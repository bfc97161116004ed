"""Options of metrics stand in their names, agree with the reference implementations, and know every script."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings, strategies as st
from rouge_score import rouge_scorer

from harness.config import user_code
from harness.errors import UsageError
from harness.metrics import ALIASES, METRICS, Answer, metric
from harness.metrics.user_metrics import load_metric

KINDS = {"rouge_1": "rouge1", "rouge_2": "rouge2", "rouge_l": "rougeL", "rouge_lsum": "rougeLsum"}
DIALOGUES = [  # in the manner of DialogSum (several summaries of a talk) and of visit notes (sections, one line each)
    ("Ms. Dawson takes dictation of a memo.", ("Ms. Dawson is taking a dictated memo.", "A memo is dictated to her.")),
    ("Patients were running.\nHe takes tablets daily.", ("The patient runs.\nHe is taking a tablet every day.",)),
    ("Follow up in two weeks", ("Following up after two weeks", "See me in a fortnight", "Return")),
]
SCRIPTS = {
    "Latin": "The lake is blue today and the sky is clear",
    "Chinese": "今天天气很好我们一起去公园散步吧",
    "Japanese": "今日はとても天気がいいですね",
    "Korean": "오늘은 날씨가 정말 좋네요 함께 걸어요",
    "Russian": "Сегодня очень хорошая погода",
    "Greek": "Σήμερα ο καιρός είναι πολύ καλός",
    "Arabic": "الطقس جميل جدا اليوم في المدينة",
    "Hebrew": "מזג האוויר יפה מאוד היום",
    "Hindi": "आज मौसम बहुत अच्छा है दोस्तों",
    "Thai": "วันนี้อากาศดีมากเราไปเดินเล่นกัน",
    "Tamil": "இன்று வானிலை மிகவும் நன்றாக உள்ளது",
}


def value(name: str, text: str, references: tuple[str, ...]) -> float:
    measured = metric(name).score(Answer(text, references, None, "stop"))
    assert measured is not None and measured.value is not None
    return measured.value


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("stemmer", [False, True])
@pytest.mark.parametrize(("text", "references"), DIALOGUES)
def test_rouge_is_that_of_rouge_score(name: str, stemmer: bool, text: str, references: tuple[str, ...]) -> None:
    scorer = rouge_scorer.RougeScorer([KINDS[name]], use_stemmer=stemmer)
    each = [scorer.score(reference, text)[KINDS[name]].fmeasure for reference in references]
    assert value(f"{name}:stemmer" if stemmer else name, text, references) == pytest.approx(max(each), abs=1e-12)
    options = "stemmer,mean" if stemmer else "mean"
    assert value(f"{name}:{options}", text, references) == pytest.approx(sum(each) / len(each), abs=1e-12)


@pytest.mark.parametrize("tokenizer", ["13a", "intl", "zh", "char", "none"])
def test_corpus_bleu_is_that_of_sacrebleu(tokenizer: str) -> None:
    texts = [SCRIPTS["Chinese"], SCRIPTS["Latin"], "今天下雨了, so we stay in!", "the sky, the lake"]
    references = [
        "今天天气不错我们去公园走走吧",
        "The lake is green today and the sky is grey",
        "今天下大雨, so we stay!",
        "a sky",
    ]
    each = metric(f"bleu:{tokenizer}")
    assert each.combine is not None
    measured = [
        each.score(Answer(text, (reference,), None, "stop")) for text, reference in zip(texts, references, strict=True)
    ]
    total = np.sum([one.statistics for one in measured if one is not None], axis=0)
    expected = sacrebleu.corpus_bleu(texts, [references], tokenize=tokenizer).score
    assert float(each.combine(total)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_perfect_arm_gets_the_best_value_in_every_script(script: str) -> None:
    text = SCRIPTS[script]
    for name in ("rouge_1", "rouge_2", "rouge_l", "rouge_lsum"):
        assert value(f"{name}:characters", text, (text,)) == 1
    assert value("bleu:char", text, (text,)) == pytest.approx(100)
    for name in ("exact_match", "accuracy", "f1"):
        assert value(name, text, (text,)) == 1
    if " " in text:
        assert value("rouge_2:words", text, (text,)) == 1


@settings(max_examples=200, deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
)
def test_tokens_of_every_script_are_bounded_and_reflexive(text: str, other: str) -> None:
    for name in ("rouge_l:words", "rouge_l:characters", "f1", "accuracy"):
        assert 0 <= value(name, text, (other,)) <= 1
        assert value(name, text, (other, text)) in (0, 1)  # 0 only where nothing is a token
        assert value(name, text, (text,)) == value(name, text, (text, text))


@pytest.mark.parametrize(
    "name",
    ["rouge_l:klingon", "bleu:stemmer", "bleu:zh,char", "rouge_l:words,characters", "rouge_l:mean,mean", "chrf:words"],
)
def test_options_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(UsageError):
        metric(name)


@pytest.mark.parametrize("typed", ALIASES)
def test_names_that_people_type_lead_to_ours(typed: str) -> None:
    with pytest.raises(UsageError) as caught:
        metric(typed)
    assert ALIASES[typed] in METRICS and repr(ALIASES[typed]) in caught.value.hint


@pytest.mark.parametrize(
    ("text", "reference", "f1", "accuracy"),
    [
        ("The Cat.", "cat", 1, 0),
        ("a cat sat", "cat", 2 / 3, 0),
        ("Yes.", "yes", 1, 1),
        ("", "the", 1, 0),
        ("dog", "cat", 0, 0),
    ],
)
def test_short_answers(text: str, reference: str, f1: float, accuracy: float) -> None:
    assert value("f1", text, (reference,)) == pytest.approx(f1) and value("accuracy", text, (reference,)) == accuracy


# ------------------------------------------------------------------------------------------------- a user's own code

HEAD = "def m(prediction, references):\n    return float(prediction in references)\nm.direction = 'higher'\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "m.py").write_text(f"import near\nfrom package import inner\n{HEAD}")
    (tmp_path / "near.py").write_text("import farther\n")
    (tmp_path / "farther.py").write_text("x = 1\n")
    (tmp_path / "foreign.py").write_text("x = 1\n")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "package" / "inner.py").write_text("from . import beside\n")
    (tmp_path / "package" / "beside.py").write_text("")
    return tmp_path


def test_the_version_of_own_code_is_that_of_the_files_it_imports(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reached = {path.relative_to(folder).as_posix() for path in user_code.imported_files(folder / "m.py", folder)}
    assert reached == {
        "m.py", "near.py", "farther.py", "package/__init__.py", "package/inner.py", "package/beside.py",
    }  # fmt: skip
    first = load_metric("m.py:m", folder).version
    monkeypatch.syspath_prepend(str(folder))
    import foreign  # type: ignore[import-not-found]  # somebody else loads a file of the folder, as lm-eval does

    assert foreign.x == 1 and load_metric("m.py:m", folder).version == first
    (folder / "foreign.py").write_text("x = 2\n")
    assert load_metric("m.py:m", folder).version == first
    (folder / "farther.py").write_text("x = 2\n")
    assert load_metric("m.py:m", folder).version != first


@pytest.mark.parametrize("first", ["predictions", "y_true", "y_pred", "preds"])
def test_a_function_over_all_answers_is_refused(tmp_path: Path, first: str) -> None:
    (tmp_path / "m.py").write_text(f"def m({first}, references):\n    return 0.0\nm.direction = 'higher'\n")
    with pytest.raises(UsageError) as caught:
        load_metric("m.py:m", tmp_path)
    assert first in caught.value.message
