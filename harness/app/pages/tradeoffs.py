"""Page: quality against cost: time, memory, parameters, latency, money. Run by Streamlit as a script."""

from __future__ import annotations

import streamlit as st

from harness.app import charts, frame
from harness.records import ExperimentRecord
from harness.results.studies.figure_data import cost_views
from harness.store import Store

MISSING = {
    "latency": "Latency is not measured: run `harness serving EXPERIMENT`, or write `serving:` in the experiment.",
    "money": "No price is given: write `resources: {price_per_device_hour: …}` in the experiment.",
}


def main(store: Store, record: ExperimentRecord) -> None:
    """Draw the page."""
    board = frame.board(store, record.experiment_id)
    views = cost_views(board)
    if not views:
        st.info(f"No arm of {record.name} has both a result and a known cost yet. Let its run finish.")
        return
    names = {view.measure.replace("_", " "): view for view in views}
    picked = st.segmented_control("Cost", list(names), default=next(iter(names)), key="cost")
    view = names[picked or next(iter(names))]
    st.plotly_chart(charts.tradeoff(view, board), key="tradeoff", config={"displayModeBar": False})
    front = [point.arm for point in view.points if point.on_front]
    st.markdown(
        f"On the Pareto front: **{', '.join(front)}**. No other arm is as cheap and as good. "
        f"Whiskers: 95 % interval of {board.primary}; of training time the range over seeds, of latency its interval."
    )
    for name, how in MISSING.items():
        if name not in names:
            st.caption(how)
    if view.unknown:
        st.caption(f"Not known: {', '.join(view.unknown)}.")


frame.experiment_page("Trade-offs", main)
