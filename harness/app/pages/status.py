"""Page: progress of the round in a served bundle, which is all that its owner sees. Run by Streamlit as a script."""

from __future__ import annotations

import streamlit as st

from harness import review
from harness.app import frame
from harness.store import Store

REFRESH_SECONDS = 5.0


def main(store: Store) -> None:
    """Draw the page, again and again."""

    @frame.fragment(REFRESH_SECONDS)
    def progress() -> None:
        for round_ in review.rounds(store):
            status = review.status(store, round_.id)
            st.subheader(f"Round {status.id}")
            share = min(1.0, status.votes / max(status.wanted, 1))
            st.progress(share, f"{status.votes} of {status.wanted} votes")
            names = {"reviewer": "name", "done": "done", "of": "total", "skipped": "skipped", "last vote": "last"}
            rows = [{head: getattr(rater, name) for head, name in names.items()} for rater in status.raters]
            st.dataframe(rows, hide_index=True)

    progress()
    st.markdown("The votes go back with `harness review import` and this bundle's folder, at any time and again.")


frame.page("Progress of the review", main)
