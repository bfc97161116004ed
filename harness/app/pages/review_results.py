"""Page: rounds of blind review for their owner: progress, closing, unblinding, results. Run by Streamlit as a script.

Before unblinding nothing here names an arm: who watches may be a reviewer too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import streamlit as st

from harness import review
from harness.app import charts, entrance, frame
from harness.errors import HarnessError
from harness.records import ExperimentRecord, Round
from harness.results import cache
from harness.results.human.records import HumanReview, HumanTable
from harness.results.render import human
from harness.results.render.colours import Looks, arm_looks
from harness.review import RoundStatus
from harness.review.lifecycle import Monitored
from harness.store import Store

OPEN_FIRST = "Run `harness review open EXPERIMENT --arms a,b`, then `harness review invite ROUND NAME`"
PLAIN = {"displayModeBar": False}


def main(store: Store) -> None:
    """Draw the page."""
    rounds = review.rounds(store)[::-1]
    if not rounds:
        st.info(f"No review round is stored in {frame.home()} yet. {OPEN_FIRST}.")
        return
    experiments = {record.experiment_id: record for record in store.experiments()}
    titles = {round_.id: _title(round_, experiments) for round_ in rounds}
    picked = st.selectbox("Round", list(titles), format_func=titles.__getitem__, key="round")
    round_ = next(round_ for round_ in rounds if round_.id == picked)
    if trouble := st.session_state.pop("trouble", None):
        st.error(trouble)
    state = store.round_state(round_.id)
    _progress(_status(str(frame.home()), round_.id, state, store))
    if round_.unblinded is not None:
        _results(store, round_, state, experiments)
    else:
        _acts(store, round_)
    _commands(round_)


@frame.cached(8)
def _status(folder: str, round_id: str, state: str, _store: Store) -> RoundStatus:
    return review.status(_store, round_id, monitor=True)


def _title(round_: Round, experiments: Mapping[str, ExperimentRecord]) -> str:
    state = "unblinded" if round_.unblinded else "closed" if round_.closed else "open"
    record = experiments.get(round_.experiment)
    about = record.name if record is not None else "votes from elsewhere"
    return (
        f"{round_.id} · {about} · {round_.split} prompts · {state} · opened {round_.opened.when[:16].replace('T', ' ')}"
    )


# --------------------------------------------------------------------------------------------------------- progress


def _progress(status: RoundStatus) -> None:
    places = st.columns(4)
    places[0].metric("Votes", f"{status.votes} of {status.wanted}")
    places[1].metric("Items", status.items)
    places[2].metric("Same text twice", status.automatic_ties, help="Ties that nobody is asked about")
    places[3].metric("Free queues", status.free_queues)
    if status.state == "open" and status.free_queues:
        st.markdown(f"A queue is one reviewer's work. Run `harness review invite {status.id} NAME` for a link.")
    if isinstance(status.monitor, Monitored):
        words = status.monitor.words
        (st.success if status.monitor.settled else st.info)(
            f"So far: {words}. Which one is not said before unblinding, and not told to reviewers."
        )
    if not status.raters:
        st.info(f"Nobody is invited yet. Run `harness review invite {status.id} NAME`.")
        return
    st.dataframe(
        [
            {
                "reviewer": rater.name,
                "done": rater.done,
                "of": rater.total,
                "progress": rater.done / rater.total if rater.total else 0.0,
                "skipped": rater.skipped,
                "last vote": rater.last or "-",
                "link": "revoked" if rater.revoked else "valid" if rater.total is not None else "not used yet",
            }
            for rater in status.raters
        ],
        column_config={"progress": st.column_config.ProgressColumn("progress", format="percent")},
        hide_index=True,
    )


# ------------------------------------------------------------------------------------------------ closing, unblinding


def _acts(store: Store, round_: Round) -> None:
    st.subheader("Close and unblind" if round_.closed is None else "Unblind")
    st.markdown(
        "Closing ends the voting and shows nothing. Unblinding says which arm wrote what: it closes the round too, is "
        "logged with its reason, and cannot be taken back."
    )
    reason = st.text_input("Reason (kept with the round; unblinding needs one)", key="reason", max_chars=500).strip()
    left, right = st.columns(2)
    if round_.closed is None:
        left.button(
            "Close the round", key="close", width="stretch", on_click=_act, args=(store, round_.id, review.close)
        )
    asked = right.button("Unblind…", key="unblind", width="stretch", disabled=not reason)
    if asked:
        st.session_state["confirm"] = round_.id
    if st.session_state.get("confirm") == round_.id and reason:
        st.warning("Nobody can vote in this round after that, and you will know whose every answer is. Unblind it?")
        yes, no = st.columns(2)
        args = (store, round_.id, review.unblind)
        yes.button("Yes, unblind", key="yes", type="primary", width="stretch", on_click=_act, args=args)
        no.button("Not yet", key="no", width="stretch", on_click=st.session_state.pop, args=("confirm", None))


# ---------------------------------------------------------------------------------------------------------- results


def _results(store: Store, round_: Round, state: str, experiments: Mapping[str, ExperimentRecord]) -> None:
    with st.spinner("Counting the votes. The result is kept."):
        results = _review(str(frame.home()), round_.id, state, store, round_)
        if round_.experiment in experiments:
            frame.board(store, round_.experiment)  # so that nobody waits for it on the leaderboard
    st.subheader("Results")
    st.text("\n".join(human.heading(results)))
    votes = results.everyone
    if results.without is not None:
        which = st.segmented_control(
            "Raters", ["all", "without those left out"], default="all", required=True, key="raters"
        )
        votes = results.everyone if which != "without those left out" else results.without
    elif results.excluded:
        st.caption("The declared rule leaves out everybody who voted, so there is no table without them.")
    _charts(results, votes, arm_looks(experiments.get(round_.experiment), results.arms))
    for table in [*human.review_tables(results, votes), *human.rater_tables(results)]:
        st.subheader(table.title)
        st.dataframe([dict(zip(table.heads, row, strict=True)) for row in table.rows], hide_index=True)
        for note in table.notes:
            st.text(note)


@frame.cached(8)
def _review(folder: str, round_id: str, state: str, _store: Store, _round: Round) -> HumanReview:
    return cache.human(_store, Path(folder), _round)


def _charts(results: HumanReview, votes: HumanTable, looks: Looks) -> None:
    if not votes.votes:
        st.info("There are no votes to show.")
        return
    left, right = st.columns(2)
    left.plotly_chart(charts.human_scores(votes, looks), key="scores", config=PLAIN)
    right.plotly_chart(charts.pair_matrix(votes), key="pairs", config=PLAIN)
    st.plotly_chart(charts.rater_quality(results), key="quality", config=PLAIN)


def _act(store: Store, round_id: str, act: Callable[[Store, str, str, str], object]) -> None:
    """Close or unblind a round, or say why not."""
    reason = st.session_state.get("reason", "").strip()
    if act is review.unblind:
        st.session_state.pop("confirm", None)
    try:
        act(store, round_id, entrance.who(), reason)
    except HarnessError as error:
        st.session_state["trouble"] = str(error)


def _commands(round_: Round) -> None:
    """Votes leave by the command line: a file for download would lie at an address that opens without a token."""
    st.caption("Votes as a file" + ("" if round_.unblinded else ", without arms, kinds and examples before unblinding"))
    for form, ending in (("votes-csv", "csv"), ("votes-jsonl", "jsonl")):
        st.code(f"harness review export {round_.id} --as {form} --out {round_.id}.{ending}", language="sh")


frame.page("Review results", main)
