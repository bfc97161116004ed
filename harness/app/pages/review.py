"""Page: blind review, one pair of answers after the other. Run by Streamlit as a script.

What is sent to the browser is what `harness.review` hands out for an item: texts, an opaque token and counts. Keys of
widgets are constants, or a constant and the token. A vote replaces the pair within a fragment, so nothing is reloaded.

A button belongs to the pair that it stands under: a click that was made before the next pair had come is none on it.
Nor is one that comes sooner after the pair than anybody can look: the second half of a double click, a held key.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import streamlit as st

from harness import review
from harness.app import entrance, frame
from harness.errors import HarnessError, ReviewError
from harness.records import Winner
from harness.review import Ballot, BlindItem, Briefing, ClosingQuestion, Thanks
from harness.store import Store

CHOICES: tuple[tuple[Winner, str, str], ...] = (
    ("left", "Left is better", "1"),
    ("right", "Right is better", "2"),
    ("tie", "Equally good", "3"),
    ("both_bad", "Both are bad", "4"),
    ("skip", "Skip", "0"),
)
SIDES = ("left", "right")
LOOK_SECONDS = 0.5  # no choice is taken so soon after its pair was sent
STYLE = """<style>
[data-testid="stMainBlockContainer"] {padding-top: 2.2rem; max-width: 1300px;}
[data-testid="stButton"] button {min-height: 3.2rem;}
[data-testid="stButton"] button p {font-size: 1.1rem;}
</style>"""

# Streamlit's check boxes keep what is typed on them from its shortcuts; a reviewer who has just flagged an answer types
# there. What is typed is handed on to the page.
KEYS = """<script id="choice-keys">
if (!window.choiceKeys) {
  window.choiceKeys = event => {
    const at = event.target;
    if (!event.isTrusted || event.ctrlKey || event.metaKey || event.altKey) return;
    if (!(at instanceof HTMLInputElement) || at.type !== 'checkbox' || !/^[01234u]$/i.test(event.key)) return;
    event.stopImmediatePropagation();
    event.preventDefault();
    const again = new KeyboardEvent(event.type, {key: event.key, code: event.code, bubbles: true, cancelable: true});
    for (const name of ['keyCode', 'which']) Object.defineProperty(again, name, {value: event.keyCode});
    document.body.dispatchEvent(again);
  };
  window.addEventListener('keydown', window.choiceKeys, true);
  window.addEventListener('keyup', window.choiceKeys, true);
}
</script>"""


def main() -> None:
    """Draw the page."""
    st.html(frame.STYLE)
    st.html(STYLE)
    st.html(KEYS, unsafe_allow_javascript=True)
    store = frame.store()
    try:
        if store is None:
            raise ReviewError("this review is not here any more", hint="Ask for a new link")
        briefing = review.briefing(store, entrance.invitation())
        if not briefing.open:
            st.title("This review is closed")
            st.markdown("Thank you. Everything that you did is kept.")
            return
        _desk(store, briefing)
    except HarnessError as error:
        _sorry(error)


def _sorry(error: HarnessError) -> None:
    """What went wrong, in words for a reviewer; what the store says of itself stays here."""
    if isinstance(error, ReviewError):
        st.warning(frame.words(str(error)))
    else:
        st.error(
            "The review cannot be reached at the moment. Your answers are kept. Please reload the page in a while."
        )


@frame.fragment()
def _desk(store: Store, briefing: Briefing) -> None:
    """The pair, the buttons and the way back; runs again on its own after every choice."""
    state = st.session_state
    try:
        if "shown" not in state:
            state["shown"] = review.next_item(store, entrance.invitation())
            _fresh()
    except HarnessError as error:
        _sorry(error)
        return
    shown: BlindItem | Thanks = state["shown"]
    if isinstance(shown, BlindItem) and not state.get("begun") and shown.progress.done == 0:
        _instructions(briefing)
        return
    # A place of its own, used or not: what moves up or down the page is made anew, and loses focus and clicks.
    with st.container():
        for kind in ("note", "trouble"):
            if text := state.pop(kind, None):
                (st.success if kind == "note" else st.warning)(frame.words(text))
    if isinstance(shown, Thanks):
        _thanks(store, shown)
    else:
        _pair(store, shown, briefing)
    if state.get("since") is None:  # what is in front of the reviewer is on its way to the browser
        state["since"] = time.time()


def _instructions(briefing: Briefing) -> None:
    st.title("Thank you for reviewing")
    frame.plain(briefing.instructions, "large")
    if briefing.practice:
        st.markdown("The first pair is for practice: it does not count, and you are told what most people would say.")
    st.markdown("Choose with the buttons or with the keys **1**, **2**, **3**, **4**; **0** skips, **U** takes back.")
    st.button("Begin", key="begin", type="primary", shortcut="Enter", on_click=_begin)


def _begin() -> None:
    st.session_state["begun"] = True
    _fresh()


def _fresh() -> None:
    """A new pair comes in front of the reviewer: its clock starts when it is sent, and the way back gets a new id."""
    st.session_state["since"] = None
    st.session_state["undo_id"] = uuid.uuid4().hex


def _hasty() -> bool:
    """Whether a press comes too soon to be meant; what a held key sends then is one long press."""
    state, now = st.session_state, time.time()
    since = state.get("since")
    hasty = since is None or now - max(since, state.get("pressed", 0.0)) < LOOK_SECONDS
    if hasty:
        state["pressed"] = now
    return hasty


def _pair(store: Store, item: BlindItem, briefing: Briefing) -> None:
    progress, left = item.progress, item.progress.minutes_left
    wait = "" if left is None else f", about {max(1, round(left))} min left"
    st.progress(min(1.0, progress.done / max(progress.total, 1)), f"{progress.done} of {progress.total}{wait}")
    with st.container(border=False):
        st.caption("Practice: this pair does not count" if item.practice else "The text")
        frame.plain(item.prompt, "large", "scroll")
    with st.container():
        if item.has_reference and st.toggle("Show the reference answer", key=f"reference {item.token}"):
            st.caption("Reference answer")
            frame.plain(review.reference(store, entrance.invitation(), item.token) or "", "large", "scroll")
    looks: list[frame.Look] = ["large", "code"] if item.render == "code" else ["large"]
    columns = st.columns(2)
    for column, side in zip(columns, SIDES, strict=True):
        with column:
            st.caption(side.capitalize())
            frame.plain(getattr(item, side), *looks)
            for number, flag in enumerate(item.flags):
                st.checkbox(frame.words(flag), key=f"flag {side} {number} {item.token}")
    for number, criterion in enumerate(item.criteria):
        st.segmented_control(
            frame.words(criterion),
            ["left", "tie", "right"],
            format_func=lambda side: "Equal" if side == "tie" else side.capitalize(),
            key=f"criterion {number} {item.token}",
        )
    columns = st.columns(len(CHOICES))
    for column, (winner, words, key) in zip(columns, CHOICES, strict=True):
        column.button(
            words,
            key=f"choose {winner} {item.token}",
            shortcut=key,
            width="stretch",
            type="tertiary" if winner == "skip" else "secondary",
            on_click=_cast,
            args=(store, item, winner),
        )
    wide, narrow = st.columns([3, 1], vertical_alignment="bottom")
    wide.text_input("Comment (optional)", key=f"comment {item.token}", max_chars=2000)
    with narrow:
        _way_back(store)
    with st.expander("Instructions"):
        frame.plain(briefing.instructions)


def _way_back(store: Store) -> None:
    press = st.session_state["undo_id"]
    st.button("Take back", key=f"undo {press}", shortcut="u", width="stretch", on_click=_undo, args=(store, press))


def _cast(store: Store, item: BlindItem, winner: Winner) -> None:
    """Store the vote on the pair that the button stood under, whatever is shown by now."""
    state = st.session_state
    if _hasty():
        return
    flags = tuple(
        f"{side}:{flag}"
        for side in SIDES
        for number, flag in enumerate(item.flags)
        if state.get(f"flag {side} {number} {item.token}")
    )
    answers = {name: state.get(f"criterion {number} {item.token}") for number, name in enumerate(item.criteria)}
    ballot = Ballot(
        id=item.vote_id,
        token=item.token,
        winner=winner,
        seconds=max(0.0, time.time() - state["since"]),
        flags=flags,
        criteria={name: side for name, side in answers.items() if side},
        comment=(state.get(f"comment {item.token}") or "").strip() or None,
    )

    def send() -> None:
        receipt, state["shown"] = review.vote_and_next(store, entrance.invitation(), ballot)
        if receipt.explanation and receipt.new:
            state["note"] = receipt.explanation

    _attempt(store, send)


def _undo(store: Store, undo_id: str) -> None:
    if _hasty():
        return

    def send() -> None:
        st.session_state["shown"] = review.undo(store, entrance.invitation(), undo_id)

    _attempt(store, send)


def _attempt(store: Store, send: Callable[[], Any]) -> None:
    """Do it, or say why not and show what is in front of this reviewer now."""
    state = st.session_state
    try:
        send()
        _fresh()
    except ReviewError as error:
        state["trouble"] = str(error)
        state.pop("shown", None)
    except HarnessError:
        state["trouble"] = "Your choice could not be stored. Please choose again."


def _thanks(store: Store, shown: Thanks) -> None:
    st.title("Thank you!")
    left = shown.left_in_total
    others = f"The others have {left} to go." if left else "Nothing is left for the others either."
    st.markdown(f"You have judged **{shown.done}** pairs. {others}")
    if shown.question is not None:
        _question(store, shown.question)
    if shown.done:
        _way_back(store)


def _question(store: Store, question: ClosingQuestion) -> None:
    st.subheader("One last question")
    st.markdown("Your answer changes nothing that you have judged.")
    frame.plain(question.text)
    with st.expander("The text"):
        frame.plain(question.prompt, "large")
    for column, side in zip(st.columns(2), SIDES, strict=True):
        with column:
            st.caption(side.capitalize())
            frame.plain(getattr(question, side), "large")
    answers = (("left", "Left"), ("right", "Right"), ("unsure", "I cannot tell"))
    for column, (answer, words) in zip(st.columns(3), answers, strict=True):
        column.button(words, key=f"guess {answer}", width="stretch", on_click=_guess, args=(store, question, answer))


def _guess(store: Store, question: ClosingQuestion, answer: review.Answer) -> None:
    def send() -> None:
        review.guess(store, entrance.invitation(), question.token, answer)
        st.session_state["shown"] = review.next_item(store, entrance.invitation())

    _attempt(store, send)


main()
