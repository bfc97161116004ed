"""Rendering in a sandbox: what comes out, and one line for everything that must not."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from harness.config.templates import names, problem, render, render_variables
from harness.errors import DataError

FIELDS = {"talk": "Good <b>day</b>.", "turns": [{"who": "A", "says": "x"}, {"who": "B", "says": "y"}], "empty": None}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("Write.\n\n{{ talk }}\n", "Write.\n\nGood <b>day</b>.\n"),
        ("{% for t in turns %}{{ t.who }}: {{ t.says }}\n{% endfor %}", "A: x\nB: y\n"),
        ("[{{ empty }}]", "[]"),
        ("{% if other is defined %}{{ other }}{% else %}none{% endif %}", "none"),
        ("{{ talk | upper }}", "GOOD <B>DAY</B>."),
    ],
)
def test_render(template: str, expected: str) -> None:
    assert render(template, FIELDS, "here") == expected


def test_render_variables_leaves_the_literal_text_out() -> None:
    template = "Summarise this long text.\n{{ talk }}\n{% for t in turns %}Turn: {{ t.says }}{% endfor %}"
    assert render_variables(template, FIELDS, "here").split() == ["Good", "<b>day</b>.", "x", "y"]
    assert render(template, FIELDS, "here").startswith("Summarise")
    assert names(template) == {"talk", "turns"}


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ tolk }}", "a.jsonl:3: prompt: the template names 'tolk', which is not a column. Did you mean 'talk'? Col"),
        ("{{ talk.nothing }}", "a.jsonl:3: prompt: the template failed: 'str object' has no attribute 'nothing'"),
        ("{{ talk", "a.jsonl:3: prompt: broken template: unexpected end of template"),
        ("{{ talk | shout }}", "a.jsonl:3: prompt: broken template: No filter named 'shout'"),
        ("{{ ''.__class__.__mro__ }}", "reaches for Python internals ('__mro__'), which is refused"),
        ("{{ talk['__class__'] }}", "reaches for Python internals ('__class__'), which is refused"),
        ("{{ talk|attr('__class__') }}", "reaches for Python internals, which is refused (access to attribute"),
        ("{{ turns['__cl' ~ 'ass__'] }}", "reaches for Python internals, which is refused"),
        ("{{ '{0.__class__}'.format(talk) }}", "reaches for Python internals, which is refused"),
        ("{{ turns.append(1) }}", "reaches for Python internals, which is refused"),
        ("{{ 1 / 0 }}", "the template failed: ZeroDivisionError: division by zero"),
        ("{% for i in range(10000000) %}x{% endfor %}", "the template failed: OverflowError: Range too big"),
        ("{% include '/etc/passwd' %}", "templates cannot include or import files"),
        ("{% extends '/etc/passwd' %}", "templates cannot extend files"),
        ("{% import 'os' as os %}", "templates cannot include or import files"),
        ("{{ open('x') }}", "the template names 'open', which is not a column"),
    ],
)  # fmt: skip
def test_refusals_are_one_line(template: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        render(template, FIELDS, "a.jsonl:3: prompt")
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_problem_counts_lines() -> None:
    found = problem("one\ntwo\n{{ three | nope }}")
    assert found is not None and found.line == 3
    assert problem("{{ fine }}") is None


@given(st.text(max_size=40))
def test_any_template_renders_or_is_one_line(template: str) -> None:
    try:
        assert isinstance(render(template, FIELDS, "here"), str)
    except DataError as error:
        assert str(error).startswith("here: ") and "\n" not in str(error)


@given(st.dictionaries(st.sampled_from(["a", "b"]), st.text(max_size=30), min_size=2))
def test_text_of_a_row_is_never_a_template(fields: dict[str, str]) -> None:
    assert render("{{ a }}|{{ b }}", {"a": "", "b": "", **fields}, "here") == f"{fields['a']}|{fields['b']}"
