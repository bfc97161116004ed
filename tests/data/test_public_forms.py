"""Files as they are published: rows, conversations and pairs are read, or refused by the name of their form."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
from hypothesis import given, settings, strategies as st

from harness.config import DataSpec, TaskSpec
from harness.data import hub, rows
from harness.data.conversations import read_turns, with_system
from harness.data.preference_files import read_pairs
from harness.errors import DataError
from harness.experiments.loading.load import load_task

ROWS = [{"id": "007", "q": "1.10", "a": "NA"}, {"id": "008", "q": "", "a": 'it\'s; a, "b"'}]
JSON_LINES = "".join(json.dumps(row) + "\n" for row in ROWS)
CSV = 'id,q,a\n007,1.10,NA\n008,,"it\'s; a, ""b"""\n'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", JSON_LINES),
        ("b.json", json.dumps(ROWS)),
        ("c.json", json.dumps(ROWS, indent=2)),
        ("d.csv", CSV),
        ("e.tsv", 'id\tq\ta\n007\t1.10\tNA\n008\t\t"it\'s; a, ""b"""\n'),
        ("f.csv", "\ufeff" + CSV.replace("\n", "\r\n")),
        ("g.jsonl", "\ufeff" + JSON_LINES),
        ("h.json", "\n\n" + json.dumps(ROWS)),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_the_same_rows_from_every_form(tmp_path: Path, name: str, content: str, packed: bool) -> None:
    file = tmp_path / (name + (".gz" if packed else ""))
    raw = content.encode()
    file.write_bytes(gzip.compress(raw) if packed else raw)
    assert [dict(row.values) for row in rows.read_file(file)] == ROWS


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", '{"data": [{"a": 1}, {"a": 2}]}', "'data'"),
        ("b.json", '{"instances": [{"a": 1}, {"a": 2}]}', "'instances'"),
        ("c.json", '{"a": [1, 2], "b": [3, 4]}', "each column is one list"),
        ("d.json", '[{"a": 1},\n{"a": 2]', "d.json:2"),
        ("e.csv", "id;q\n1;2\n", "semicolons"),
        ("f.csv", "sep=;\nid;q\n1;2\n", "semicolons"),
        ("g.csv", "a\tb\n1\t2\n", "tabs"),
        ("h.tsv", "a,b\n1,2\n", "commas"),
        ("i.csv.gz", "id\n", "gzip"),
        ("j.xlsx", "", "'.xlsx'"),
        ("k.csv", "a|b\n1|2\n", "bars"),
    ],
)
def test_other_forms_are_refused_by_name(tmp_path: Path, name: str, content: str, said: str) -> None:
    file = tmp_path / name
    file.write_text(content)
    with pytest.raises(DataError) as caught:
        rows.read_file(file)
    assert said in str(caught.value) and caught.value.exit_code == 2


CELLS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8) | st.sampled_from(
    ["007", "1.10", "NA", "None", "null", "nan", "1e5", "true", " x ", "12345678901234567890", "-", "#N/A"]
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=5))
def test_a_csv_gives_the_same_cells_by_path_and_by_hub(
    tmp_path_factory: pytest.TempPathFactory, table: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("hub")
    quoted = [
        "id,a,b",
        *(
            f'{n},"{a.replace(chr(34), chr(34) * 2)}","{b.replace(chr(34), chr(34) * 2)}"'
            for n, (a, b) in enumerate(table)
        ),
    ]
    (folder / "train.csv").write_text("\n".join(quoted) + "\n", encoding="utf-8", newline="")
    by_path = [dict(row.values) for row in rows.read_file(folder / "train.csv")]
    by_hub = hub.read_hub(DataSpec(hub=str(folder), licence="CC0-1.0"), folder)
    assert [dict(row.values) for row in by_hub["train"]] == by_path
    assert [(row["a"], row["b"]) for row in by_path] == table


def test_labels_have_their_names(tmp_path: Path) -> None:
    features = datasets.Features({"t": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "good"])})
    datasets.Dataset.from_dict({"t": ["a", "b", "c"], "label": [0, 1, -1]}, features=features).save_to_disk(
        tmp_path / "d"
    )
    by_hub = hub.read_hub(DataSpec(hub=str(tmp_path / "d"), licence="CC0-1.0"), tmp_path)
    assert [row.values["label"] for row in by_hub["train"]] == ["bad", "good", None]


@pytest.mark.parametrize(
    ("text", "noted"), [("1.10", True), ("1e-7", True), ("1.0", False), ("7", False), ("0.1", False)]
)
def test_a_number_that_reads_otherwise_is_said(tmp_path: Path, text: str, noted: bool) -> None:
    (tmp_path / "a.jsonl").write_text(f'{{"n": {text}}}\n')
    [row] = rows.read_file(tmp_path / "a.jsonl")
    assert row.rewritten == (text if noted else "") and row.values["n"] == json.loads(text)


# ------------------------------------------------------------------------------------------------- conversations

OPENAI = [{"role": "system", "content": "S"}, {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
SHAREGPT = [{"from": "system", "value": "S"}, {"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
PARTS = [{**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in OPENAI]


@pytest.mark.parametrize(
    "turns", [OPENAI, SHAREGPT, PARTS, [{**turn, "tool_calls": None, "name": ""} for turn in OPENAI]]
)
def test_forms_of_conversations(turns: list[dict[str, Any]]) -> None:
    assert [(turn.role, turn.content) for turn in read_turns(turns, "here")] == [
        ("system", "S"),
        ("user", "q"),
        ("assistant", "a"),
    ]


def test_the_system_column_of_sharegpt_is_a_turn() -> None:
    turns = with_system(read_turns(SHAREGPT[1:], "here"), SHAREGPT[1:], {"system": "S"}, "here")
    assert [turn.role for turn in turns] == ["system", "user", "assistant"] and turns[0].content == "S"
    assert len(with_system(read_turns(OPENAI[1:], "here"), OPENAI[1:], {"system": "a column"}, "here")) == 2


@pytest.mark.parametrize(
    "key", ["tool_calls", "function_call", "tool_call_id", "name", "reasoning_content", "weight", "images"]
)
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("value", [[{"id": 1}], "x", 0, False, 1.5])
def test_what_would_be_lost_is_refused(key: str, place: int, value: Any) -> None:
    turns: list[dict[str, Any]] = [dict(turn) for turn in OPENAI]
    turns[place][key] = value
    with pytest.raises(DataError) as caught:
        read_turns(turns, "a.jsonl:1")
    assert f"turn {place + 1} has {key!r}" in str(caught.value)


@pytest.mark.parametrize("column", ["tools", "functions", "images", "documents"])
def test_columns_that_templates_act_on_are_refused(column: str) -> None:
    with pytest.raises(DataError, match=column):
        with_system(read_turns(OPENAI, "here"), OPENAI, {column: [{"name": "f"}]}, "here")


# -------------------------------------------------------------------------------------------------------- pairs

USER = {"role": "user", "content": "q"}


def turn(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


PAIRS: dict[str, dict[str, Any]] = {
    "explicit text": {"prompt": "q", "chosen": "yes", "rejected": "no"},
    "explicit turns": {"prompt": [USER], "chosen": [turn("yes")], "rejected": [turn("no")]},
    "implicit turns": {"chosen": [USER, turn("yes")], "rejected": [USER, turn("no")]},
    "prompt beside whole conversations": {"prompt": "q", "chosen": [USER, turn("yes")], "rejected": [USER, turn("no")]},
}


def task(messages: bool) -> TaskSpec:
    form = {"messages": "c"} if messages else {"prompt": "{{ q }}", "target": "{{ a }}"}
    return TaskSpec.model_validate(
        {"name": "t", "data": {"path": "x.jsonl", "licence": "CC0-1.0"}, "metrics": {"primary": "exact_match"}, **form}
    )


@pytest.mark.parametrize("form", PAIRS)
@pytest.mark.parametrize("messages", [False, True])
def test_forms_of_pairs(tmp_path: Path, form: str, messages: bool) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text(json.dumps(PAIRS[form]) + "\n")
    read = read_pairs(file, task(messages))
    [pair], [example] = read.pairs, read.examples
    assert (pair.chosen, pair.rejected) == ("yes", "no")
    prompt = [(turn.role, turn.content) for turn in example.messages or ()] if messages else example.prompt
    assert prompt == ([("user", "q")] if messages else "q")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"prompt": "q", "completion": "yes", "label": True}, "KTO"),
        ({"chosen": "Human: q\n\nAssistant: yes", "rejected": "Human: q\n\nAssistant: no"}, "prompt is missing"),
        ({"chosen": [USER, turn("yes")], "rejected": [turn("no")][:0]}, "rejected is missing"),
        ({"chosen": [USER, turn("yes")], "rejected": [{**USER, "content": "z"}, turn("no")]}, "different prompts"),
        ({"prompt": "z", "chosen": [USER, turn("yes")], "rejected": [USER, turn("no")]}, "another prompt"),
        ({"prompt": [USER], "chosen": [USER], "rejected": [turn("no")]}, "end with the assistant"),
    ],
)
def test_pairs_that_are_none(tmp_path: Path, line: dict[str, Any], said: str) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text(json.dumps(line) + "\n")
    with pytest.raises(DataError) as caught:
        read_pairs(file, task(True))
    assert said in str(caught.value) and "pairs.jsonl:1" in str(caught.value)


TASK = """name: t
data: {path: rows.jsonl, licence: CC0-1.0}
prompt: "{{ q }}"
target: "{{ a }}"
metrics: {primary: exact_match}
splits: {salt: s}
preferences: {chosen: CHOSEN, rejected: REJECTED}
"""


@pytest.fixture
def preference_task(tmp_path: Path) -> Callable[[str, str, list[dict[str, Any]]], Path]:
    def write(chosen: str, rejected: str, lines: list[dict[str, Any]]) -> Path:
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        text = TASK.replace("CHOSEN", json.dumps(chosen)).replace("REJECTED", json.dumps(rejected))
        (tmp_path / "task.yaml").write_text(text)
        return tmp_path / "task.yaml"

    return write


def test_columns_of_turns_give_their_last_turn(preference_task: Callable[..., Path]) -> None:
    from harness.data.examples import read_examples

    lines = [
        {
            "q": f"q {n}",
            "a": "x",
            "c": [{"role": "user", "content": f"q {n}"}, turn(f"yes {n}")],
            "r": [turn(f"no {n}")],
        }
        for n in range(5)
    ]
    source = read_examples(*load_task(preference_task("{{ c }}", "{{ r }}", lines)))
    assert [(pair.chosen, pair.rejected) for pair in source.pairs] == [(f"yes {n}", f"no {n}") for n in range(5)]
    other = [{**line, "c": [USER, turn("yes")]} for line in lines]
    with pytest.raises(DataError, match="not the prompt of this row"):
        read_examples(*load_task(preference_task("{{ c }}", "{{ r }}", other)))


@pytest.mark.parametrize(
    ("chosen", "rejected"), [("chosen", "{{ r }}"), ("{{ c }}", "rejected"), ("A fixed text.", "{{ r }}")]
)
def test_a_template_that_names_no_column_is_refused(
    preference_task: Callable[..., Path], chosen: str, rejected: str
) -> None:
    from harness.errors import SpecError

    with pytest.raises(SpecError) as caught:
        load_task(preference_task(chosen, rejected, [{"q": "q", "a": "x", "c": "y", "r": "z"}]))
    assert caught.value.line == 7 and caught.value.field.startswith("preferences.")
