"""Page: two arms side by side, from every metric down to single words. Run by Streamlit as a script."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from harness.app import frame
from harness.records import ExperimentRecord
from harness.results import numbers
from harness.results.render.words import ARROWS
from harness.results.studies.comparison import Comparison, Sample, Texts, compare as compare_arms, word_diff
from harness.results.studies.slices import Slice, slices
from harness.store import Store

PER_PAGE = 5
ALL = 1_000_000


def main(store: Store, record: ExperimentRecord) -> None:
    """Draw the page."""
    board = frame.board(store, record.experiment_id)
    arms = [row.arm for row in board.rows if row.evaluations]
    if len(arms) < 2:
        st.info(f"Comparing takes two arms with a result; {record.name} has {len(arms)}. Let its run finish.")
        return
    left, right = st.columns(2)
    a = left.selectbox("Arm", arms, key="arm a")
    others = [arm for arm in arms if arm != a]
    default = others.index(board.reference) if board.reference in others else 0
    b = right.selectbox("minus", others, index=default, key="arm b")
    state = f"{store.state(record.experiment_id)} {frame.examples_changed(record)}"
    comparison, parts = _compare(str(frame.home()), record.experiment_id, (a, b), state, store)
    st.caption(comparison.estimand)
    _metrics(comparison)
    _slices(comparison, parts)
    _examples(comparison)


@frame.cached(8)
def _compare(
    folder: str, experiment_id: str, arms: tuple[str, str], state: str, _store: Store
) -> tuple[Comparison, Sequence[Slice]]:
    """The comparison, and its slices by length and group."""
    results = frame.results(_store, experiment_id)
    eval_ids = [entry.eval_id for entry in results.entries if entry.arm in arms and entry.eval_id is not None]
    examples = frame.examples(results.experiment)
    texts = Texts(examples, _store.predictions(eval_ids), inside=True)
    comparison = compare_arms(results, *arms, texts, samples=ALL)
    primary = comparison.metrics[0]
    seeds = 1 if primary.difference is None else primary.difference.seeds
    return comparison, slices(comparison.values, examples, results.groups, primary.column.bounds, seeds)


def _metrics(comparison: Comparison) -> None:
    a, b = comparison.a, comparison.b
    rows = [f"| metric | {a} | {b} | {a} minus {b} [95 %] | |", "|---|---:|---:|---:|---|"]
    for metric in comparison.metrics:
        column, difference = metric.column, metric.difference
        told = numbers.with_interval(difference, column.bounds, sign=True) if difference else metric.reason
        ahead = a if difference is not None and (difference.value > 0) == (column.direction == "higher") else b
        words = f"{ahead} is better" if numbers.excludes_zero(difference) else "not told apart"
        values = f"{numbers.value(metric.a, column.bounds)} | {numbers.value(metric.b, column.bounds)}"
        rows.append(f"| {column.name} {ARROWS[column.direction]} | {values} | {told} | {words} |")
    st.markdown("\n".join(rows))
    total = comparison.wins_a + comparison.wins_b + comparison.ties
    st.markdown(
        f"Example by example in {comparison.metrics[0].column.name}: {a} is better on **{comparison.wins_a}**, "
        f"{b} on **{comparison.wins_b}**, equal on **{comparison.ties}** of {total}."
    )


def _slices(comparison: Comparison, parts: Sequence[Slice]) -> None:
    with st.expander("By length and group"):
        if not parts:
            st.info("The sealed test split is not in the home folder. Run the experiment again; it is quick.")
            return
        bounds, rows = comparison.metrics[0].column.bounds, []
        st.caption("Each interval is at 95 % on its own: among twenty slices one excludes zero by chance.")
        for part in parts:
            told = numbers.with_interval(part.difference, bounds, sign=True) if part.difference else part.reason
            row = {"slice": part.kind, "": part.name, "examples": part.n}
            rows.append({**row, comparison.a: round(part.a, 4), comparison.b: round(part.b, 4), "difference": told})
        st.dataframe(rows, hide_index=True)


def _examples(comparison: Comparison) -> None:
    st.subheader("Examples where they differ most")
    for note in comparison.notes:
        st.caption(note)
    search = st.text_input("Search in id, prompt, reference and answers", key="search").strip().lower()
    samples = []
    for sample in comparison.samples:
        texts = [sample.example, sample.prompt, *(sample.references or ()), sample.text_a, sample.text_b]
        if not search or search in "\n".join(text for text in texts if text).lower():
            samples.append(sample)
    if not samples:
        st.info("No example matches." if search else "The two arms score alike on every example.")
        return
    pages = (len(samples) - 1) // PER_PAGE + 1
    at = int(st.number_input(f"Page of {pages}", 1, pages, key="page")) if pages > 1 else 1
    st.caption(f"{len(samples)} examples differ; largest difference first.")
    for sample in samples[(at - 1) * PER_PAGE : at * PER_PAGE]:
        _example(comparison, sample)


def _example(comparison: Comparison, sample: Sample) -> None:
    name = comparison.metrics[0].column.name
    with st.container(border=True):
        values = f"{comparison.a} {sample.value_a:.3f}, {comparison.b} {sample.value_b:.3f}"
        st.text(f"{sample.example}   {name}: {values}")
        if sample.text_a is None or sample.text_b is None:
            st.caption("Its texts are not stored.")
            return
        sides = zip((comparison.a, comparison.b), word_diff(sample.text_a, sample.text_b), strict=True)
        for column, (arm, parts) in zip(st.columns(2), sides, strict=True):
            with column:
                st.caption(arm)
                frame.pieces(parts)
        with st.expander("Prompt and reference"):
            frame.plain(sample.prompt or "")
            for reference in sample.references or ():
                st.caption("Reference")
                frame.plain(reference)


frame.experiment_page("Compare", main)
