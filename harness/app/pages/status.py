"""Page: how far the round of a served bundle is, which is all that its owner sees. Run by Streamlit as a script."""

from __future__ import annotations

import streamlit as st

from harness import review
from harness.app import frame
from harness.store import Store

REFRESH_SECONDS = 5.0


def main(store: Store) -> None:
    """Draw the page, again and again."""

    @frame.fragment(REFRESH_SECONDS)
    def far() -> None:
        for there in review.rounds(store):
            found = review.status(store, there.id)
            st.subheader(f"Round {found.id}")
            share = min(1.0, found.votes / max(found.wanted, 1))
            st.progress(share, f"{found.votes} of {found.wanted} votes")
            st.dataframe(
                [
                    {
                        "reviewer": one.name,
                        "done": one.done,
                        "of": one.total,
                        "skipped": one.skipped,
                        "last vote": one.last,
                    }
                    for one in found.raters
                ],
                hide_index=True,
            )

    far()
    st.markdown("The votes go back with `harness review import` and this bundle's folder, at any time and again.")


frame.page("How far the review is", main)
