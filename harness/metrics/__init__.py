"""The metrics: one literal table, and the functions that turn predictions and likelihoods into Scores.

A metric is a pure function of one item. `kind` says how items become one number: `example` metrics are averaged over
items, `corpus` metrics sum their sufficient statistics first and `combine` the sum. Heavy libraries (rouge-score,
sacrebleu, numpy) are imported when a metric is first computed, so that naming metrics costs nothing.

lm-eval's metrics are not in the table: they are called `TASK/METRIC` (`clinic_choice/acc`) and come with their own
per-document values; `metric` answers for them too. A user's own metrics are called `file.py:function`, those of the
library `evaluate` `evaluate:FOLDER` (`user_metrics.py`); installed packages add theirs by name (`config/plugins.py`).
"""

from __future__ import annotations

import difflib
import functools
import json
import math
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.config import plugins
from harness.errors import DataError, UsageError
from harness.metrics import facts, likelihood, text
from harness.metrics.definition import (
    Answer as Answer,
    Bounds as Bounds,
    Facts as Facts,
    Measured as Measured,
    Metric as Metric,
)
from harness.metrics.external import is_own as is_own, lm_eval_metric as lm_eval_metric, own_metric
from harness.records import Example, Likelihood, Prediction, Score, digest
from harness.redaction import named


def modules(names: Iterable[str]) -> list[str]:
    """What computing these metrics imports beside the harness, most of it at the first value."""
    prefixes = {
        "rouge": "rouge_score.rouge_scorer",
        "bleu": "sacrebleu.metrics.bleu",
        "chrf": "sacrebleu.metrics.helpers",
    }
    return list(dict.fromkeys(module for name in names for start, module in prefixes.items() if name.startswith(start)))


def _of_text(function: Callable[[str, tuple[str, ...]], float]) -> Callable[[Answer], Measured]:
    """The score of a metric that looks at an answer's text and the references."""
    return lambda answer: Measured(function(answer.text, answer.references))


def _of_facts(function: Callable[[str, Facts], float]) -> Callable[[Answer], Measured | None]:
    """The score of a metric that looks at an answer's text and the true facts; missing without them."""
    return lambda answer: None if answer.facts is None else Measured(float(function(answer.text, answer.facts)))


def _of_sums(
    statistics_of: Callable[[Any], tuple[float, ...] | None], value_of: Callable[..., Any]
) -> Callable[[Any], Measured | None]:
    """The score of a corpus metric: an item's statistics, and their value where the item alone has a finite one."""

    def score(item: Any) -> Measured | None:
        import numpy as np

        statistics = statistics_of(item)
        if statistics is None:
            return None
        value = float(value_of(np.asarray(statistics)))
        return Measured(value if math.isfinite(value) else None, statistics)

    return score


def _bleu(tokenizer: str) -> Callable[[Any], Measured | None]:
    return _of_sums(lambda answer: text.bleu_statistics(answer.text, answer.references, tokenizer), text.sentence_bleu)


def _preference(rows: Sequence[Likelihood]) -> Measured | None:
    value = likelihood.preference(rows)
    return None if value is None else Measured(value)


_COUNT: dict[str, Any] = {"version": facts.VERSION, "direction": "lower", "unit": "an answer", "bounds": None}
_PERCENT: dict[str, Any] = {"kind": "corpus", "unit": "0–100", "bounds": (0.0, 100.0)}
_LOGPROB: dict[str, Any] = {"kind": "corpus", "source": "likelihood", "direction": "lower", "bounds": None}
_PERPLEXITY = Metric(
    "perplexity",
    "exp(-Σ log p / Σ tokens) of the target given the prompt; every token weighs alike",
    _of_sums(likelihood.token_statistics, likelihood.combine_perplexity),
    combine=likelihood.combine_perplexity,
    **_LOGPROB,
)
_BITS_PER_BYTE = Metric(
    "bits_per_byte",
    "-Σ log2 p / Σ bytes of the target given the prompt; every byte weighs alike",
    _of_sums(likelihood.byte_statistics, likelihood.combine_bits_per_byte),
    unit="bits",
    combine=likelihood.combine_bits_per_byte,
    **_LOGPROB,
)
_ALL = (
    Metric(
        "rouge_1",
        "F1 of common words, best of several references; mean over examples",
        _of_text(functools.partial(text.rouge, "rouge1")),
    ),
    Metric(
        "rouge_2",
        "F1 of common word pairs, best of several references; mean over examples",
        _of_text(functools.partial(text.rouge, "rouge2")),
    ),
    Metric(
        "rouge_l",
        "F1 of the longest common subsequence of words, best of several references; mean over examples",
        _of_text(functools.partial(text.rouge, "rougeL")),
    ),
    Metric(
        "rouge_lsum",
        "F1 of the longest common subsequence, one sentence a line, best of several references; mean over examples",
        _of_text(functools.partial(text.rouge, "rougeLsum")),
    ),
    Metric(
        "bleu",
        "BP · exp(mean log n-gram precision, n ≤ 4), 13a tokens, exponential smoothing; n-gram counts summed over "
        "examples",
        _bleu("13a"),
        combine=text.combine_bleu,
        **_PERCENT,
    ),
    Metric(
        "chrf",
        "F2 of character n-grams, n ≤ 6, without white space; counts summed over examples",
        _of_sums(lambda answer: text.chrf_statistics(answer.text, answer.references), text.combine_chrf),
        combine=text.combine_chrf,
        **_PERCENT,
    ),
    Metric(
        "exact_match",
        "share of answers equal to a reference, white space at the ends aside; mean over examples",
        _of_text(text.exact_match),
    ),
    Metric(
        "accuracy",
        "share of answers equal to a reference, case and punctuation at the ends aside; mean over examples",
        _of_text(text.accuracy),
    ),
    Metric(
        "f1",
        "F1 of the words of an answer, as SQuAD counts them, best of several references; mean over examples",
        _of_text(text.f1),
    ),
    Metric(
        "fact_recall",
        "stated facts / true facts of an example; mean over examples",
        _of_facts(facts.fact_recall),
        version=facts.VERSION,
    ),
    Metric(
        "fabrications",
        "facts stated that are not true, a count an answer; mean over examples",
        _of_facts(facts.fabrications),
        **_COUNT,
    ),
    Metric(
        "omissions",
        "true facts left out, a count an answer; mean over examples",
        _of_facts(facts.omissions),
        **_COUNT,
    ),
    Metric(
        "all_facts",
        "share of answers with every fact right; mean over examples",
        _of_facts(facts.all_facts),
        version=facts.VERSION,
    ),
    Metric(
        "length_limited",
        "share of answers cut off at max_new_tokens; mean over examples",
        lambda answer: Measured(float(answer.finish == "length")),
        direction="lower",
    ),
    _PERPLEXITY,
    _BITS_PER_BYTE,
    replace(
        _PERPLEXITY,
        name="retention_perplexity",
        description="exp(-Σ log p / Σ tokens) of text from before the fine-tuning; every token weighs alike",
        suite="retention",
    ),
    replace(
        _BITS_PER_BYTE,
        name="retention_bits_per_byte",
        description="-Σ log2 p / Σ bytes of text from before the fine-tuning; every byte weighs alike",
        suite="retention",
    ),
    Metric(
        "preference_accuracy",
        "share of held-out pairs whose better answer has the higher log p (sum, not by length); mean over pairs",
        _preference,
        source="likelihood",
        suite="preferences",
    ),
)
METRICS: dict[str, Metric] = {each.name: each for each in _ALL}
"""Every metric that the harness computes itself, by name."""
ROUGE_OPTIONS = {
    "stemmer": "words stemmed (Porter)",
    "mean": "the mean over several references, not the best",
    "words": "runs of letters of any script as tokens",
    "characters": "each letter of any script as a token",
}
BLEU_TOKENIZERS = ("13a", "intl", "zh", "char", "none")
ALIASES = {
    "acc": "accuracy", "em": "exact_match", "rouge": "rouge_l", "ppl": "perplexity", "bpb": "bits_per_byte",
    "sacrebleu": "bleu", "squad_f1": "f1", "token_f1": "f1", "chrf++": "chrf", "length": "length_limited",
}  # fmt: skip
"""Names that people type → ours, for hints."""


@functools.cache
def _with_options(name: str) -> Metric | None:
    """`rouge_l:stemmer,mean` or `bleu:zh`, whose options are part of the name; None where `name` is no such metric.

    Raises UsageError for an option that the metric does not have.
    """
    base, colon, text_ = name.partition(":")
    options = [option.strip() for option in text_.split(",")]
    kinds = {"rouge_1": "rouge1", "rouge_2": "rouge2", "rouge_l": "rougeL", "rouge_lsum": "rougeLsum"}
    if not colon or base not in METRICS:
        return None
    allowed = tuple(ROUGE_OPTIONS) if base in kinds else BLEU_TOKENIZERS if base == "bleu" else ()
    wrong = next((option for option in options if option not in allowed), None)
    several = [option for option in options if option in BLEU_TOKENIZERS or option in ("words", "characters")]
    if wrong is not None or len(several) > 1 or len(set(options)) < len(options):
        what = f"has no option {wrong!r}" if wrong is not None else f"takes one of {' and '.join(options)}"
        raise UsageError(f"the metric {base!r} {what}", hint=f"Its options: {', '.join(allowed) or 'none'}")
    if base == "bleu":
        score: Any = _bleu(options[0])
        described = METRICS[base].description.replace("13a tokens", f"{options[0]} tokens")
    else:
        score = _of_text(functools.partial(text.rouge, kinds[base], options=frozenset(options)))
        described = METRICS[base].description + "; " + "; ".join(ROUGE_OPTIONS[option] for option in options)
    return replace(METRICS[base], name=name, description=described, score=score)


def plugin(name: str) -> Metric | None:
    """The metric called `name` that an installed package adds, if one does; its version stands for the package's.

    Raises UsageError where the package cannot be imported, or brings something else.
    """
    package = None if "/" in name or ":" in name or is_own(name) else plugins.find("harness.metrics", name, METRICS)
    if package is None:
        return None
    brought = package.load()
    if not isinstance(brought, Metric) or brought.name != name:
        raise UsageError(f"{package.point.value} of the package {package.distribution} is no Metric called {name!r}")
    return replace(brought, version=int(digest([package.identity, brought.version])[:13], 16))


def is_added(name: str) -> bool:
    """Whether a metric comes from a user's file or an installed package: its version is a hash, and records keep what
    it declares."""
    return is_own(name) or plugin(name) is not None


def metric(name: str) -> Metric:
    """The metric called `name`: one of METRICS, an installed package's, lm-eval's `TASK/METRIC`, or a user's own.

    Of an own metric it knows no more than that its values are averaged: `user_metrics.load_own` computes it,
    `declared` knows its direction.

    Raises UsageError for no such metric; it names the nearest one.
    """
    if name in METRICS:
        return METRICS[name]
    if (optional := _with_options(name)) is not None:
        return optional
    if is_own(name):
        return own_metric(name)
    if "/" in name:
        return lm_eval_metric(name)
    added = plugin(name)
    if added is not None:
        return added
    typed = name.lower().replace("-", "_")
    near = [ALIASES[typed]] if typed in ALIASES else difflib.get_close_matches(typed, METRICS, n=1)
    more = "lm-eval's TASK/METRIC, and your own file.py:function"
    hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(METRICS)}, {more}"
    raise UsageError(f"no metric is called {name!r}", hint=hint)


def is_corpus(name: str) -> bool:
    """Whether a metric sums statistics and combines the sum; what a package that is gone had declared is a mean."""
    try:
        return metric(name).kind == "corpus"
    except UsageError:
        return False


def declared(name: str, declaration: Mapping[str, Any] | None) -> Metric:
    """`metric(name)`; an own metric, or that of a package which is gone, with what it declared when it was scored.

    Raises UsageError for no such metric, or where a package is gone that alone can combine its metric's values.
    """
    if is_own(name):
        return own_metric(name, declaration)
    if declaration is None or plugin(name) is not None:
        return metric(name)
    if declaration.get("kind") == "corpus":
        raise UsageError(f"the metric {name!r} comes from a package that is not installed", hint="Install it again")
    return own_metric(name, declaration)


def of_task(name: str, task: Mapping[str, Any]) -> Metric:
    """`declared`, with the declarations of a stored experiment's task."""
    return declared(name, (task.get("own_metrics") or {}).get(name))


def check_names(names: Iterable[str]) -> None:
    """Raise UsageError for the first of `names` that is no metric."""
    for name in names:
        metric(name)


def score_predictions(
    metrics: Sequence[str],
    eval_id: str,
    predictions: Iterable[Prediction],
    examples: Iterable[Example],
    facts_column: str | None = None,
    own: Mapping[str, Metric] | None = None,
) -> list[Score]:
    """Scores of one evaluation's predictions on the test examples, for those of `metrics` that look at predictions.

    `own` holds the user's own metrics by name (`user_metrics.load_own`).

    One Score for each example and metric, in the order of `examples`; an example without a prediction, whose server
    refused to answer, or without facts where the metric needs them, gets status `missing` and value None.

    Raises:
        DataError: a prediction for an example that is not given, or facts that are not [{slot, value}, …].
        UsageError: an unknown metric.
    """
    unloaded = [name for name in metrics if is_own(name) and name not in (own or {})]
    if unloaded:
        raise UsageError(f"the metric {unloaded[0]!r} was not loaded", hint="Give the task that it belongs to")
    chosen = [(own or {}).get(name) or metric(name) for name in metrics]
    chosen = [metric_ for metric_ in chosen if metric_.source == "prediction"]
    answers = {row.example: row for row in predictions if row.eval_id == eval_id}
    scores = []
    for example in examples:
        row = answers.pop(example.id, None)
        answer = None
        if row is not None and row.finish != "refused":
            true = facts_of(example, facts_column)
            # Canonically equal texts are one text (é in one character or two), whichever form a tokenizer writes.
            references = tuple(unicodedata.normalize("NFC", reference) for reference in example.references)
            text_ = unicodedata.normalize("NFC", row.text)
            answer = Answer(text_, references, true, row.finish, example.id, example.fields)
        for metric_ in chosen:
            scores.append(_record(metric_, eval_id, example.id, metric_.score(answer) if answer else None))
    if answers:
        raise DataError(
            f"predictions for {len(answers)} examples that the test split does not hold,"
            f" such as {named(next(iter(answers)))}",
            hint="Score with the task that the predictions were made for",
        )
    return scores


def score_likelihoods(metrics: Sequence[str], likelihoods: Iterable[Likelihood]) -> list[Score]:
    """Scores of likelihoods, for those of `metrics` that look at likelihoods; one for each item of a metric's suite.

    Likelihoods of several evaluations may be mixed. An item that cannot be scored gets status `missing`.

    Raises UsageError for an unknown metric.
    """
    chosen = [metric_ for metric_ in map(metric, metrics) if metric_.source == "likelihood"]
    items: dict[tuple[str, str, str], list[Likelihood]] = {}
    for row in likelihoods:
        items.setdefault((row.eval_id, row.suite, row.item), []).append(row)
    return [
        _record(metric_, eval_id, item, metric_.score(rows))
        for (eval_id, suite, item), rows in items.items()
        for metric_ in chosen
        if metric_.suite == suite
    ]


def missing_likelihoods(metrics: Sequence[str], eval_id: str, items: Mapping[str, Sequence[str]]) -> list[Score]:
    """Scores with status `missing` where a model has no likelihoods: one for each item of a metric's suite."""
    chosen = [metric_ for metric_ in map(metric, metrics) if metric_.source == "likelihood"]
    return [_record(metric_, eval_id, item, None) for metric_ in chosen for item in items.get(metric_.suite, ())]


def facts_of(example: Example, column: str | None) -> Facts | None:
    """The facts of an example: its column as it came, or as JSON text (csv); None without the column or a value.

    Raises DataError where the column holds something else than [{slot, value}, …].
    """
    raw = example.fields.get(column) if column else None
    if raw is None:
        return None
    try:
        rows = json.loads(raw) if isinstance(raw, str) else list(raw)
        if all({"slot", "value"} <= set(row) for row in rows):
            return list(rows)
    except (TypeError, ValueError):
        pass
    raise DataError(
        f"example {named(example.id)}: column {column!r} does not hold facts", hint="Facts are a list of {slot, value}"
    )


def _record(metric_: Metric, eval_id: str, item: str, measured: Measured | None) -> Score:
    return Score(
        eval_id=eval_id,
        suite=metric_.suite,
        item=item,
        metric=metric_.name,
        filter="none",
        version=metric_.version,
        status="missing" if measured is None else "ok",
        value=measured.value if measured else None,
        statistics=measured.statistics if measured else None,
    )
