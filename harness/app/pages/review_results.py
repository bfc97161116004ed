"""Page: rounds of blind review for their owner: progress, closing, unblinding, results. Run by Streamlit as a script.

Before unblinding nothing here names an arm: who watches may be a reviewer too.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from pathlib import Path
from typing import Any

import streamlit as st

from harness import review
from harness.app import charts, entrance, frame
from harness.errors import HarnessError
from harness.records import Round
from harness.results import HumanReview, HumanTable, cache
from harness.results.render import human
from harness.results.render.human import Block
from harness.review import RoundStatus
from harness.review.monitor import Monitored, preferred
from harness.store import Store

OPEN_FIRST = "Run `harness review open EXPERIMENT --arms a,b`, then `harness review invite ROUND NAME`"
PLAIN = {"displayModeBar": False}


def main(store: Store) -> None:
    """Draw the page."""
    known = review.rounds(store)[::-1]
    if not known:
        st.info(f"No review round is stored in {frame.home()} yet. {OPEN_FIRST}.")
        return
    names = {record.experiment_id: record.name for record in store.experiments()}
    titles = {one.id: _title(one, names) for one in known}
    picked = st.selectbox("Round", list(titles), format_func=titles.__getitem__, key="round")
    there = next(one for one in known if one.id == picked)
    if trouble := st.session_state.pop("trouble", None):
        st.error(trouble)
    state = store.round_state(there.id)
    _progress(_status(str(frame.home()), there.id, state, store))
    if there.unblinded is not None:
        _results(store, there, state, names)
    else:
        _acts(store, there)
    _commands(there)


@frame.cached(8)
def _status(folder: str, round_id: str, state: str, _store: Store) -> RoundStatus:
    return review.status(_store, round_id, preferred)


def _title(there: Round, names: dict[str, str]) -> str:
    state = "unblinded" if there.unblinded else "closed" if there.closed else "open"
    about = names.get(there.experiment, "votes from elsewhere")
    return f"{there.id} · {about} · {there.split} prompts · {state} · opened {there.opened.when[:16].replace('T', ' ')}"


# --------------------------------------------------------------------------------------------------------- progress


def _progress(found: RoundStatus) -> None:
    places = st.columns(4)
    places[0].metric("Votes", f"{found.votes} of {found.wanted}")
    places[1].metric("Items", found.items)
    places[2].metric("Same text twice", found.automatic_ties, help="Ties that nobody is asked about")
    places[3].metric("Free queues", found.free_queues)
    if found.state == "open" and found.free_queues:
        st.markdown(f"A queue is one reviewer's work. Run `harness review invite {found.id} NAME` for a link.")
    if isinstance(found.monitor, Monitored):
        words = found.monitor.words
        (st.success if found.monitor.settled else st.info)(
            f"So far: {words}. Which one is not said before unblinding, and not told to reviewers."
        )
    if not found.raters:
        st.info(f"Nobody is invited yet. Run `harness review invite {found.id} NAME`.")
        return
    st.dataframe(
        [
            {
                "reviewer": one.name,
                "done": one.done,
                "of": one.total,
                "progress": one.done / one.total if one.total else 0.0,
                "skipped": one.skipped,
                "last vote": one.last or "-",
                "link": "revoked" if one.revoked else "valid" if one.total is not None else "not used yet",
            }
            for one in found.raters
        ],
        column_config={"progress": st.column_config.ProgressColumn("progress", format="percent")},
        hide_index=True,
    )


# ------------------------------------------------------------------------------------------------ closing, unblinding


def _acts(store: Store, there: Round) -> None:
    st.subheader("Close and unblind" if there.closed is None else "Unblind")
    st.markdown(
        "Closing ends the voting and shows nothing. Unblinding says which arm wrote what: it closes the round too, is "
        "logged with its reason, and cannot be taken back."
    )
    reason = st.text_input("Reason (kept with the round; unblinding needs one)", key="reason", max_chars=500).strip()
    left, right = st.columns(2)
    if there.closed is None:
        left.button("Close the round", key="close", width="stretch", on_click=_close, args=(store, there.id))
    asked = right.button("Unblind…", key="unblind", width="stretch", disabled=not reason)
    if asked:
        st.session_state["confirm"] = there.id
    if st.session_state.get("confirm") == there.id and reason:
        st.warning("Nobody can vote in this round after that, and you will know whose every answer is. Unblind it?")
        yes, no = st.columns(2)
        yes.button(
            "Yes, unblind", key="yes", type="primary", width="stretch", on_click=_unblind, args=(store, there.id)
        )
        no.button("Not yet", key="no", width="stretch", on_click=_forget)


def _forget() -> None:
    st.session_state.pop("confirm", None)


def _close(store: Store, round_id: str) -> None:
    reason = st.session_state.get("reason", "").strip()
    _attempt(lambda: review.close(store, round_id, entrance.who(), reason))


def _unblind(store: Store, round_id: str) -> None:
    reason = st.session_state.get("reason", "").strip()
    _forget()
    _attempt(lambda: review.unblind(store, round_id, entrance.who(), reason))


def _attempt(act: Callable[[], Any]) -> None:
    try:
        act()
    except HarnessError as error:
        st.session_state["trouble"] = str(error)


# ---------------------------------------------------------------------------------------------------------- results


def _results(store: Store, there: Round, state: str, names: Container[str]) -> None:
    with st.spinner("Counting the votes. The result is kept."):
        found = _review(str(frame.home()), there.id, state, store, there)
        if there.experiment in names:
            frame.board(store, there.experiment)  # so that nobody waits for it on the leaderboard
    st.subheader("Results")
    st.text("\n".join(human.heading(found)))
    table = found.everyone
    if found.without is not None:
        which = st.segmented_control(
            "Raters", ["all", "without those left out"], default="all", required=True, key="raters"
        )
        table = found.everyone if which != "without those left out" else found.without
    elif found.excluded:
        st.caption("The declared rule leaves out everybody who voted, so there is no table without them.")
    _charts(found, table)
    for block in human.table_blocks(found, table):
        _block(block)
    for block in [human.rater_block(found), *human.kappa_blocks(found)]:
        _block(block)


@frame.cached(8)
def _review(folder: str, round_id: str, state: str, _store: Store, _there: Round) -> HumanReview:
    return cache.human(_store, Path(folder), _there)


def _charts(found: HumanReview, table: HumanTable) -> None:
    if not table.votes:
        st.info("There are no votes to show.")
        return
    left, right = st.columns(2)
    left.plotly_chart(charts.human_scores(table, found.arms), key="scores", config=PLAIN)
    right.plotly_chart(charts.pair_matrix(table), key="pairs", config=PLAIN)
    st.plotly_chart(charts.rater_quality(found), key="quality", config=PLAIN)


def _block(block: Block) -> None:
    st.subheader(block.title)
    heads = [name for name, _ in block.heads]
    st.dataframe([dict(zip(heads, row, strict=True)) for row in block.rows], hide_index=True)
    for line in block.lines:
        st.text(line)


def _commands(there: Round) -> None:
    """Votes leave by the command line: a file for download would lie at an address that opens without a token."""
    st.caption("Votes as a file" + ("" if there.unblinded else ", without arms, kinds and examples before unblinding"))
    for form, ending in (("votes-csv", "csv"), ("votes-jsonl", "jsonl")):
        st.code(f"harness review export {there.id} --as {form} --out {there.id}.{ending}", language="sh")


frame.page("Review results", main)
