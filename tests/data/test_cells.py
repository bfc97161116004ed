"""What stands in a cell becomes text in one way, whatever the template does with it."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import example, given, settings, strategies as st

from harness.config.cells import as_text, cell, plain
from harness.config.templates import names, render
from harness.errors import DataError

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
UNCHANGING = (
    "{{ v }}",
    "{{ v | string }}",
    "{{ v ~ '' }}",
    "{{ '' ~ v }}",
    "{{ '%s' | format(v) }}",
    "{{ [v] | join }}",
    "{{ '{}'.format(v) }}",
    "{{ v | replace('\x00', '') }}",
    "{{ row.v }}",
    "{{ row['v'] ~ '' }}",
    "{% set w = v %}{{ w }}",
    "{{ v if true }}",
    "{{ (v,) | first }}",
    "{{ [v] | map('string') | first }}",
)
"""Ways to write a value that must all give its text."""


@settings(max_examples=300, deadline=None)
@given(JSON_VALUES.filter(lambda value: "\x00" not in json.dumps(value) and "\\u0000" not in json.dumps(value)))
@example(None)
@example({"a": None, "b": [True, "it's"]})
def test_every_way_to_write_a_value_writes_its_text(value: object) -> None:
    texts = {template: render(template, {"v": value}, "here") for template in UNCHANGING}
    assert set(texts.values()) == {as_text(value)}
    assert plain(cell(value)) == value
    if isinstance(value, (bool, list, dict)):
        assert json.loads(texts["{{ v }}"]) == value


FILTERS = (
    "trim",
    "upper",
    "lower",
    "title",
    "capitalize",
    "string",
    "replace('a', 'b')",
    "indent",
    "wordwrap",
    "striptags",
    "escape",
    "truncate(50)",
    "default('')",
    "e",
)


@pytest.mark.parametrize(("first", "second"), list(itertools.product(FILTERS, FILTERS)))
def test_null_is_nothing_through_any_two_filters(first: str, second: str) -> None:
    assert render(f"[{{{{ v | {first} | {second} }}}}]", {"v": None}, "here").strip() == "[]"
    assert render(f"[{{{{ (v | {first}) ~ row.v }}}}]", {"v": None}, "here") == "[]"


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ obj }}", '{"colour": "blue", "night": false, "moon": null, "items": ["é", null]}'),
        ("{{ obj.items }}", '["é", null]'),
        ("{{ obj.items | map('upper') }}", '["É", ""]'),
        ("{{ obj.items | join('/') }}", "é/"),
        ("{{ obj | tojson }}", '{"colour": "blue", "night": false, "moon": null, "items": ["é", null]}'),
        ("{{ obj.get('size') ~ 'x' }}", "x"),
        ("{{ flag }} {{ flag | upper }} {{ flag == true }} {% if flag %}yes{% endif %}", "true TRUE true yes"),
        ("{{ note is none }} {{ note == none }} {{ note or 'none given' }}", "true true none given"),
        (
            "{{ note is string }} {{ flag is boolean }} {{ flag is integer }} {{ n is integer }}",
            "false true false true",
        ),
        ("{{ row['Customer Question'] }} {{ row['user.name'] }}", "Why? ann"),
        ("{{ n + 1 }} {{ n }} {{ half * 2 }}", "8 7 1.0"),
        ("{{ none ~ 'a' ~ true }}", "atrue"),
    ],
)
def test_cells_in_templates(template: str, expected: str) -> None:
    fields = {
        "obj": {"colour": "blue", "night": False, "moon": None, "items": ["é", None]},
        "flag": True,
        "note": None,
        "n": 7,
        "half": 0.5,
        "Customer Question": "Why?",
        "user.name": "ann",
    }
    assert render(template, fields, "here") == expected


@pytest.mark.parametrize("name", ["range", "dict", "cycler", "joiner", "lipsum", "namespace", "self"])
def test_names_of_the_template_language_are_no_columns(name: str) -> None:
    with pytest.raises(DataError):
        render(f"{{{{ {name} }}}}", {"a": "x"}, "here")
    if name != "self":  # always the template itself
        assert render(f"{{{{ {name} }}}}", {name: "x"}, "here") == "x"


@pytest.mark.parametrize("method", ["upper", "format", "strip", "split"])
def test_methods_are_no_values(method: str) -> None:
    with pytest.raises(DataError):
        render(f"{{{{ a.{method} }}}}", {"a": "x"}, "here")


def test_columns_named_by_row_are_found() -> None:
    assert names("{{ row['a b'] }} {{ c }} {{ row.get('d') }}") == {"a b", "c"}
