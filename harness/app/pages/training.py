"""Page: how the trainings of an experiment went, several runs overlaid. Run by Streamlit as a script."""

from __future__ import annotations

import streamlit as st

from harness.app import charts, frame
from harness.records import ExperimentRecord
from harness.results.render.colours import arm_looks
from harness.results.studies.figure_data import training_curves
from harness.store import Store

QUANTITIES = ("loss", "validation_loss", "gradient_norm", "learning_rate")


def main(store: Store, record: ExperimentRecord) -> None:
    """Draw the page."""
    curves = training_curves(frame.results(store, record.experiment_id))
    if not curves:
        st.info(f"No training log of {record.name} is stored: its arms are untrained, or their run has not finished.")
        return
    names = {f"{curve.arm}, seed {curve.seed}": curve for curve in curves}
    picked = st.multiselect("Runs", list(names), default=list(names), key="runs")
    shown = [names[name] for name in picked]
    looks = arm_looks(record, [curve.arm for curve in curves])
    for quantity in QUANTITIES:
        if any(getattr(row, quantity) is not None for curve in shown for row in curve.rows):
            st.plotly_chart(charts.training(shown, quantity, looks), key=quantity, config={"displayModeBar": False})
    st.subheader("Instability")
    events = [
        {"run": f"{curve.arm}, seed {curve.seed}", "step": event.step, "what": event.kind, "": event.detail}
        for curve in shown
        for event in curve.events
    ]
    if events:
        st.dataframe(events, hide_index=True)
    else:
        st.markdown("No loss spikes, exploding gradients or divergence in these runs.")


frame.experiment_page("Training", main)
