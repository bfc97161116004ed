"""Page: verdicts of release gates: their history, and one in full. Run by Streamlit as a script; writes nothing."""

from __future__ import annotations

import streamlit as st

from harness.app import frame
from harness.records import GateCall, RuleVerdict
from harness.release.gate import reports
from harness.store import Store

GATE_FIRST = "Run `harness release RUN --as NAME`, write a gates file, then `harness gate GATES.yaml --candidate RUN`"
BOXES = {"PASS": st.success, "FAIL": st.error, "INCONCLUSIVE": st.warning, "INVALID": st.error}


def main(store: Store) -> None:
    """Draw the page."""
    calls = store.gates()[::-1]
    if not calls:
        st.info(f"No verdict of a gate is stored in {frame.home()} yet. {GATE_FIRST}.")
        return
    left, right = st.columns(2)
    baseline = left.selectbox("Baseline", ["all", *sorted({call.baseline for call in calls})], key="baseline")
    outcome = right.selectbox("Outcome", ["all", *reports.MARKS], key="outcome")
    shown = [call for call in calls if baseline in ("all", call.baseline) and outcome in ("all", call.outcome)]
    if not shown:
        st.info("No verdict of this baseline has this outcome.")
        return
    st.dataframe([_row(call) for call in shown], hide_index=True)
    titles = {call.id: _title(call) for call in shown}
    picked = st.selectbox("Verdict", list(titles), format_func=titles.__getitem__, key="verdict")
    _show(next(call for call in shown if call.id == picked))


def _row(call: GateCall) -> dict[str, object]:
    return {
        "when": call.when,
        "outcome": f"{reports.MARKS[call.outcome]} {call.outcome}",
        "exit code": call.exit_code,
        "candidate": call.candidate,
        "baseline": call.baseline,
        "look": f"{call.look} of {call.looks}" if call.look is not None else "-",
        "why": call.reason,
        "waived": ", ".join(waiver.rule for waiver in call.waivers if waiver.state == "used"),
        "gates file": call.gates_file,
        "who": call.who,
    }


def _title(call: GateCall) -> str:
    return f"{call.when[:16].replace('T', ' ')} · {call.outcome} · {call.candidate} against {call.baseline}"


def _show(call: GateCall) -> None:
    verdict = call.verdict
    line = f"{verdict.outcome}: {call.candidate} against {call.baseline}, exit code {verdict.exit_code}"
    BOXES[verdict.outcome](frame.words(line))
    st.markdown(frame.words(f"{call.when}, by {call.who}: {call.reason}."))
    for warning in verdict.warnings:
        st.warning(frame.words(warning))
    st.subheader("Rules")
    rules = reports.worst_first(verdict)
    st.dataframe([_rule(rule) for rule in rules], hide_index=True)
    for rule in rules:
        if rule.outcome != "PASS":
            frame.plain(f"{reports.MARKS[rule.outcome]} {rule.rule}: {rule.words}")
    if call.waivers:
        st.subheader("Waivers")
        names = {"rule": "rule", "": "state", "owner": "owner", "expires": "expires", "reason": "reason"}
        waivers = [{head: getattr(waiver, name) for head, name in names.items()} for waiver in call.waivers]
        st.dataframe(waivers, hide_index=True)
    with st.expander("What was judged"):
        pairs = {
            "gates file": f"{call.gates_file}, {call.gates_digest}",
            "rules": call.rules_digest,
            "baseline": f"{call.baseline}, {call.baseline_digest}",
            "baseline scored again": call.rescored or "no",
            "candidate's training": call.train_id,
            "candidate's evaluation": call.eval_id,
            "stored verdict of": call.answered_by or "this call",
        }
        evidence = {f"evidence of {name}": digest or "not enough yet" for name, digest in call.data.items()}
        frame.plain("\n".join(f"{name}: {value}" for name, value in {**pairs, **evidence}.items()), "code")


def _rule(rule: RuleVerdict) -> dict[str, object]:
    return {
        "outcome": f"{reports.MARKS[rule.outcome]} {rule.outcome}",
        "rule": rule.rule,
        "tier": rule.tier,
        **{end: getattr(rule.estimate, end, None) for end in ("value", "low", "high")},
        "limit": rule.limit,
        "examples": getattr(rule.estimate, "n", None),
        "more examples": rule.more_examples,
        "waived": rule.waived,
    }


frame.page("Gates", main)
