"""Page: the data behind an experiment: splits, leaks, lengths, test-set evaluations. Run by Streamlit as a script."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from harness.app import charts, frame
from harness.data.splits import leak_line
from harness.records import ExperimentRecord
from harness.results import queries
from harness.results.studies.slices import prompt_words, reference_words
from harness.store import Store


def main(store: Store, record: ExperimentRecord) -> None:
    """Draw the page."""
    groups = len(set(record.groups.values())) if record.groups else 0
    for column, (name, size) in zip(st.columns(len(record.split_sizes) + 1), record.split_sizes.items(), strict=False):
        column.metric(f"{name} examples", f"{size:,}")
    st.columns(1)[0].markdown(f"The test split has **{groups}** groups; examples of one group are not independent.")
    _leaks(record)
    _lengths(store, record)
    _evaluations(store, record)


def _leaks(record: ExperimentRecord) -> None:
    st.subheader("Leakage")
    if not record.leaks:
        st.markdown("No example of one split was found in another: not by id, group, prompt or near-duplicate.")
        return
    how = record.task.get("leakage") or {}
    words = "dropped from the training side" if how.get("drop") else f"allowed: {how.get('allow', '')}"
    st.markdown(f"**{len(record.leaks)}** pairs share what splits must not share; they were {words}.")
    with st.expander("The pairs"):
        st.text("\n".join(leak_line(pair) for pair in record.leaks))


def _lengths(store: Store, record: ExperimentRecord) -> None:
    st.subheader("Length")
    prompts, references = _words(str(frame.home()), record.experiment_id, record, store)
    if not prompts:
        st.info("The examples are not in the home folder. Run the experiment again; it is quick.")
        return
    left, right = st.columns(2)
    left.plotly_chart(charts.lengths(prompts, "words of the prompt"), key="prompts", config={"displayModeBar": False})
    right.plotly_chart(
        charts.lengths(references, "words of the reference"), key="references", config={"displayModeBar": False}
    )


@frame.cached(8)
def _words(
    folder: str, experiment_id: str, _record: ExperimentRecord, _store: Store
) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Words of prompts and references in each split."""
    home = Path(folder)
    sides = queries.training_examples(home, _store, experiment_id)
    sides["test"] = list(queries.sealed_examples(home, _record).values())
    prompts, references = {}, {}
    for split, examples in sides.items():
        if examples:
            prompts[split] = [prompt_words(example) for example in examples]
            references[split] = [reference_words(example) for example in examples if example.references]
    return prompts, references


def _evaluations(store: Store, record: ExperimentRecord) -> None:
    st.subheader("Test-set evaluations")
    looks = queries.looks_of(store, record)
    if not looks:
        st.info("Nothing has been scored on this test split yet.")
        return
    own = sum(look.experiment == record.experiment_id for look in looks)
    st.markdown(f"**{own}** by this experiment, **{len(looks)}** by all experiments on the same split.")
    names = ("when", "who", "experiment", "arm", "why")
    st.dataframe([{name: getattr(look, name) for name in names} for look in reversed(looks)], hide_index=True)


frame.experiment_page("Data", main)
