"""The note metrics: exact values on hand-made notes, and properties on random ones."""

from __future__ import annotations

from random import Random

from hypothesis import given, strategies as st

from harness.metrics import facts as metric

FACTS = [
    {"slot": "Patient", "value": "Danloo Gerool"},
    {"slot": "Lasting", "value": "5 days"},
    {"slot": "Denies", "value": "fever"},
    {"slot": "Denies", "value": "cough"},
]
NOTE = "Patient: Danloo Gerool\nLasting: 5 days\nDenies: fever; cough"


def scores(note: str, facts: list[dict[str, str]] | None = None) -> tuple[float, int, int, float]:
    """Recall, fabrications, omissions and all facts."""
    known = FACTS if facts is None else facts
    return (
        metric.fact_recall(note, known),
        metric.fabrications(note, known),
        metric.omissions(note, known),
        metric.all_facts(note, known),
    )


def test_true_note() -> None:
    assert scores(NOTE) == (1.0, 0, 0, 1.0)


def test_empty_note_omits_everything() -> None:
    assert scores("") == (0.0, 0, 4, 0.0)
    assert scores("\n \n") == (0.0, 0, 4, 0.0)


def test_no_facts() -> None:
    assert scores("", []) == (1.0, 0, 0, 1.0)
    assert scores("Patient: Someone", []) == (1.0, 1, 0, 0.0)


def test_left_out_part_of_a_list_is_one_omission() -> None:
    assert scores(NOTE.replace("; cough", "")) == (0.75, 0, 1, 0.0)


def test_changed_value_is_an_omission_and_a_fabrication() -> None:
    assert scores(NOTE.replace("5 days", "3 days")) == (0.75, 1, 1, 0.0)


def test_true_value_under_a_wrong_label_is_an_omission_and_a_fabrication() -> None:
    assert scores(NOTE.replace("Lasting: 5 days", "Review: 5 days")) == (0.75, 1, 1, 0.0)


def test_added_claim_is_a_fabrication_only() -> None:
    assert scores(NOTE + "\nTemp: 38.1") == (1.0, 1, 0, 0.0)


def test_text_beside_the_form_is_a_fabrication() -> None:
    assert metric.claims("The patient took 40 mg.") == {("", "the patient took 40 mg")}
    assert scores(NOTE + "\nThe patient took 40 mg.") == (1.0, 1, 0, 0.0)


def test_saying_a_thing_twice_counts_once() -> None:
    assert scores(NOTE + "\nLasting: 5 days\nDenies: fever; fever") == (1.0, 0, 0, 1.0)


def test_two_values_under_one_label_are_two_claims() -> None:
    assert scores(NOTE + "\nLasting: 6 days") == (1.0, 1, 0, 0.0)


def test_case_space_bullets_and_final_stop_do_not_matter() -> None:
    assert scores("- patient:  danloo   gerool.\n* LASTING: 5 days\n\nDenies: Cough; ; fever;") == (1.0, 0, 0, 1.0)


def test_a_colon_inside_a_value_stays_in_it() -> None:
    assert metric.claims("Review: on Friday at 9:30") == {("review", "on friday at 9:30")}
    assert metric.claims("9:30 is the time") == {("", "9:30 is the time")}


def test_a_label_without_value_states_nothing() -> None:
    assert metric.claims("Patient:\nLasting: ;") == frozenset()


words = st.from_regex(r"[a-z0-9]{1,6}( [a-z0-9]{1,6}){0,2}", fullmatch=True)
fact_rows = st.lists(
    st.fixed_dictionaries({"slot": words, "value": words}), min_size=1, max_size=8, unique_by=lambda f: tuple(f.items())
)


def write(rows: list[dict[str, str]]) -> str:
    """A note that states the rows and nothing else."""
    return "\n".join(f"{row['slot']}: {row['value']}" for row in rows)


@given(fact_rows)
def test_a_true_note_is_perfect(rows: list[dict[str, str]]) -> None:
    assert scores(write(rows), rows) == (1.0, 0, 0, 1.0)


@given(fact_rows, st.integers(0, 2**32))
def test_order_does_not_matter(rows: list[dict[str, str]], seed: int) -> None:
    shuffled = Random(seed).sample(rows, len(rows))
    assert scores(write(shuffled), rows) == (1.0, 0, 0, 1.0)


@given(fact_rows, st.data())
def test_a_dropped_fact_is_one_omission(rows: list[dict[str, str]], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(rows) - 1))
    kept = rows[:index] + rows[index + 1 :]
    assert scores(write(kept), rows)[1:] == (0, 1, 0.0)
    assert metric.fact_recall(write(kept), rows) == (len(rows) - 1) / len(rows)


@given(fact_rows, st.data())
def test_a_changed_fact_is_one_of_each(rows: list[dict[str, str]], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(rows) - 1))
    changed = [dict(row) for row in rows]
    changed[index]["value"] = "QQ " + changed[index]["value"] + " longer than any"
    assert scores(write(changed), rows)[1:] == (1, 1, 0.0)


@given(st.text(max_size=200), fact_rows)
def test_any_text_gets_bounded_consistent_scores(note: str, rows: list[dict[str, str]]) -> None:
    recall, fabricated, omitted, everything = scores(note, rows)
    assert 0.0 <= recall <= 1.0
    assert fabricated >= 0
    assert recall == 1 - omitted / len(rows) or abs(recall - (1 - omitted / len(rows))) < 1e-12
    assert everything == float(omitted == 0 and fabricated == 0)
