"""Page: two arms side by side, from every metric down to single words. Run by Streamlit as a script."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from harness.app import frame
from harness.results import numbers
from harness.results.studies.comparison import Comparison, Sample, Texts, compare as compare_arms, word_diff
from harness.results.studies.slices import Slice, slices
from harness.store import Store

PER_PAGE = 5
ALL = 1_000_000


def main(store: Store) -> None:
    """Draw the page."""
    record = frame.chosen(store)
    if record is None:
        return
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
    return comparison, slices(comparison.values, examples, results.groups)


def _metrics(comparison: Comparison) -> None:
    a, b = comparison.a, comparison.b
    rows = [f"| metric | {a} | {b} | {a} minus {b} [95 %] | |", "|---|---:|---:|---:|---|"]
    for one in comparison.metrics:
        column = one.column
        arrow = "↑" if column.direction == "higher" else "↓"
        told = numbers.with_interval(one.difference, column.bounds, sign=True) if one.difference else one.reason
        better = one.difference is not None and (one.difference.value > 0) == (column.direction == "higher")
        words = f"{a} is better" if better else f"{b} is better"
        rows.append(
            f"| {column.name} {arrow} | {numbers.value(one.a, column.bounds)} | {numbers.value(one.b, column.bounds)} "
            f"| {told} | {words if numbers.excludes_zero(one.difference) else 'not told apart'} |"
        )
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
        bounds = comparison.metrics[0].column.bounds
        st.caption("Each interval is at 95 % on its own: among twenty slices one excludes zero by chance.")
        st.dataframe(
            [
                {
                    "slice": one.kind,
                    "": one.name,
                    "examples": one.n,
                    comparison.a: round(one.a, 4),
                    comparison.b: round(one.b, 4),
                    "difference": numbers.with_interval(one.difference, bounds, sign=True)
                    if one.difference
                    else one.reason,
                }
                for one in parts
            ],
            hide_index=True,
        )


def _examples(comparison: Comparison) -> None:
    st.subheader("Examples where they differ most")
    for note in comparison.notes:
        st.caption(note)
    search = st.text_input("Search in id, prompt, reference and answers", key="search").strip().lower()
    samples = [one for one in comparison.samples if not search or search in _words(one)]
    if not samples:
        st.info("No example matches." if search else "The two arms score alike on every example.")
        return
    pages = (len(samples) - 1) // PER_PAGE + 1
    at = int(st.number_input(f"Page of {pages}", 1, pages, key="page")) if pages > 1 else 1
    st.caption(f"{len(samples)} examples differ; largest difference first.")
    for one in samples[(at - 1) * PER_PAGE : at * PER_PAGE]:
        _example(comparison, one)


def _words(one: Sample) -> str:
    parts = [one.example, one.prompt, *(one.references or ()), one.text_a, one.text_b]
    return "\n".join(part for part in parts if part).lower()


def _example(comparison: Comparison, one: Sample) -> None:
    name = comparison.metrics[0].column.name
    with st.container(border=True):
        st.text(f"{one.example}   {name}: {comparison.a} {one.value_a:.3f}, {comparison.b} {one.value_b:.3f}")
        if one.text_a is None or one.text_b is None:
            st.caption("Its texts are not stored.")
            return
        left, right = st.columns(2)
        parts_a, parts_b = word_diff(one.text_a, one.text_b)
        with left:
            st.caption(comparison.a)
            frame.pieces(parts_a)
        with right:
            st.caption(comparison.b)
            frame.pieces(parts_b)
        with st.expander("Prompt and reference"):
            frame.plain(one.prompt or "")
            for reference in one.references or ():
                st.caption("Reference")
                frame.plain(reference)


frame.page("Compare", main)
