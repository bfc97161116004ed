"""Page: the leaderboard of a stored experiment. Run by Streamlit as a script; reads the store, writes nothing."""

from __future__ import annotations

import time

import streamlit as st

from harness.app import charts, frame
from harness.experiments.running import live
from harness.records import ExperimentRecord
from harness.results.leaderboard.rows import Leaderboard
from harness.results.render.leaderboard import render_markdown, sections
from harness.results.render.words import better
from harness.store import Store

REFRESH_SECONDS = 5.0


def main(store: Store, record: ExperimentRecord) -> None:
    """Draw the page, again and again while the experiment's run goes on."""
    if live.read(frame.home(), record.experiment_id) is None:
        _show(frame.board(store, record.experiment_id))
        return

    @frame.fragment(REFRESH_SECONDS)
    def going_on() -> None:
        _progress(record.experiment_id)
        _show(frame.board(store, record.experiment_id))

    going_on()


def _progress(experiment_id: str) -> None:
    status = live.read(frame.home(), experiment_id)
    if status is None:
        st.success("The run has ended.")
        return
    st.info(f"This experiment is running (process {status.pid}, {(time.time() - status.started) / 60:.0f} min so far).")
    for arm in status.arms:
        left = arm.seconds_left(time.time())
        wait = f", about {left:.0f} s left" if left is not None and arm.done < arm.total else ""
        st.progress(min(1.0, arm.done / max(arm.total, 1)), f"{arm.label}: {arm.phase} {arm.done}/{arm.total}{wait}")


def _show(board: Leaderboard) -> None:
    (verdict, summary, ranking), more = sections(board)
    {"ship": st.success, "tie": st.success, "ship_none": st.warning}.get(board.verdict.outcome, st.info)(verdict)
    st.markdown(summary)
    if any(row.cells[board.primary].estimate for row in board.rows):
        st.plotly_chart(charts.forest(board), key="forest", config={"displayModeBar": False})
    st.markdown(ranking)
    for row in board.rows:
        for line in row.errors:
            st.warning(frame.words(f"{row.arm}: {line}"))
        for event in row.events:
            st.caption(f"▼ {row.arm}: {event.kind} at step {event.step}")
    for title in ("Human review", "Forgetting", "Cost of one seed", "Serving"):
        if title in more:
            st.subheader(title)
            st.markdown(more[title])
    st.subheader("All metrics")
    for column in board.columns:
        with st.expander(f"{column.name}: {better(column)}", expanded=False):
            st.markdown(more[column.name])
    # No download button: the file would lie at an address that opens without a token.
    with st.expander("As Markdown, to copy"):
        st.code(render_markdown(board), language="markdown")


frame.experiment_page("Leaderboard", main)
