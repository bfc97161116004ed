"""Page: the leaderboard of a stored experiment. Run by Streamlit as a script; reads the store, writes nothing."""

from __future__ import annotations

import os
from pathlib import Path

import streamlit as st

from harness import queries, report
from harness.errors import HarnessError
from harness.records import ExperimentRecord
from harness.report import Leaderboard, markdown


def main() -> None:
    """Draw the page."""
    st.title("Leaderboard")
    home = Path(os.environ.get("HARNESS_HOME", ".harness"))
    try:
        known = queries.open_store(home).experiments() if queries.database(home).exists() else []
        if not known:
            st.info(f"No experiment is stored in {home} yet. Run `harness run baselines/visit_notes.yaml`.")
            return
        chosen = st.selectbox("Experiment", known[::-1], format_func=_title, key="experiment")
        _show(queries.board(home, chosen.experiment_id))
    except HarnessError as error:
        st.error(str(error))


def _title(record: ExperimentRecord) -> str:
    return f"{record.name} · task {record.task.get('name', '?')} · {record.created}"


def _show(board: Leaderboard) -> None:
    parts = markdown.sections(board)
    st.markdown(parts.verdict)
    st.markdown(parts.summary)
    st.markdown(parts.ranking)
    for row in board.rows:
        for line in row.errors:
            st.warning(f"{row.arm}: {line}")
    if parts.forgetting:
        st.subheader("Forgetting")
        st.markdown(parts.forgetting)
    st.subheader("Cost of one seed")
    st.markdown(parts.cost)
    if parts.serving:
        st.subheader("Serving")
        st.markdown(parts.serving)
    st.subheader("All metrics")
    for column, table in zip(board.columns, parts.metrics, strict=True):
        with st.expander(f"{column.name}: {column.direction} is better", expanded=False):
            st.markdown(table)
    st.download_button(
        "Download as Markdown",
        report.render_markdown(board),
        file_name=f"{board.experiment.name}.md",
        mime="text/markdown",
        key="markdown",
    )


main()
