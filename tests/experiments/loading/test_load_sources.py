"""Data sources: what becomes of good rows, and the one line about each bad one."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from task_samples import rows

from harness.data.examples import read_examples, read_retention
from harness.errors import DataError, HarnessError
from harness.experiments.loading.load import load_task
from harness.records import Example as HarnessExample, Message, SourceData, from_json, to_json


def read(path: Path) -> SourceData:
    return read_examples(*load_task(path))


def complaint(path: Path) -> str:
    with pytest.raises(HarnessError) as caught:
        read(path)
    assert caught.value.exit_code == 2
    text = str(caught.value)
    assert "\n" not in text
    return text


# -------------------------------------------------------------------------------------------------------- jsonl


def test_rows_become_examples(make_task: Callable[..., Path]) -> None:
    source = read(make_task())
    first = source.examples[0]
    assert (first.id, first.group, first.references) == ("0", "p0", ("note 0",))
    assert first.prompt == "Write the note.\n\nalpha0 beta0 gamma0\n"
    assert first.fields == rows(1)[0]
    assert source.texts["0"].strip() == "alpha0 beta0 gamma0"
    assert source.by_split is None and len(source.examples) == 40
    assert list(source.provenance["files"]) == ["data.jsonl"]
    assert from_json(HarnessExample, json.loads(json.dumps(to_json(first)))).fields == first.fields


def line(**changes: Any) -> str:
    return json.dumps({**rows(1)[0], **changes}) + "\n"


@pytest.mark.parametrize(
    ("replace", "data", "message"),
    [
        (None, line() + '{"key": 1,\n', "notes/data.jsonl:2: broken JSON: Expecting property name enclosed in double "),
        (None, line() + "\n" + "[1]\n", "notes/data.jsonl:3: found a list in place of a JSON object"),
        (None, '[{"key": 1},\n{"key": 2]', "notes/data.jsonl:2: broken JSON: Expecting ',' delimiter at column 10"),
        (None, '{"key": NaN}\n', "notes/data.jsonl:1: broken JSON: NaN is no JSON value; write null"),
        (None, '{"key": ' + "[" * 100000, "notes/data.jsonl:1: broken JSON: maximum recursion depth exceeded"),
        (None, line(talk="\ud800"), "notes/data.jsonl:1: column 'talk': holds half of a Unicode surrogate pair"),
        (None, "\n", "notes: the data of task 'notes' has no rows. Check the files it names"),
        (None, line(talk=" ", note="x").replace("alpha0", ""), None),
        (None, line(note=""), "notes/data.jsonl:1: the target is empty. Remove the row, or check the target template"),
        (None, line(note=None), "notes/data.jsonl:1: the target is empty"),
        (None, line(patient=None), "notes/data.jsonl:1: the group column 'patient' is empty or no plain value"),
        (None, line(key=""), "notes/data.jsonl:1: the id column 'key' is empty or no plain value"),
        (
            None,
            line() + line(key=1) + line() + line(key=1),
            "the id column 'key' is not unique: '0' in notes/data.jsonl:1 and notes/data.jsonl:3; '1' in "
            "notes/data.jsonl:2 and notes/data.jsonl:4. Name a column without duplicates, or leave `id` out",
        ),
        (
            ("id: key", "id: kee"),
            None,
            "notes/task.yaml:4: id: the data has no column 'kee'. Did you mean 'key'? Columns: key, patient, talk, not",
        ),
        (("group: patient", "group: zzz"), None, "notes/task.yaml:5: group: the data has no column 'zzz'. Columns: ke"),
        (
            ("  {{ talk }}", "  {{ tolk }}"),
            None,
            "notes/task.yaml:6: prompt: the template names 'tolk', which is no column. Did you mean 'talk'? Columns: k",
        ),
        (("{{ note }}", "{{ not_e }}"), None, "notes/task.yaml:10: target: the template names 'not_e', which is no co"),
        (None, line() + '{"key": 1, "patient": "p"}\n', "notes/data.jsonl:2: prompt: this row has no 'talk', which ot"),
        (None, line() + '{"key": 1, "talk": "t"}\n', "notes/data.jsonl:2: this row has no 'patient'. It has key, talk"),
        (
            ('target: "{{ note }}"', "references: note"),
            None,
            "notes/data.jsonl:1: the column 'note' must hold a list of one or more texts that are not empty",
        ),
        (("data.jsonl", "other/*.jsonl"), None, "notes: no data file matches 'other/*.jsonl'. Paths are relative to"),
        (("data.jsonl", "task.yaml"), None, "notes/task.yaml: unknown kind of file '.yaml'. Use .jsonl, "),
        (("id: key", "facts: note"), None, "notes/data.jsonl:1: the column 'note' must hold a list of facts"),
        (
            ("id: key", 'preferences: {chosen: "{{ note }}", rejected: "{{ wrong }}"}'),
            None,
            "notes/task.yaml:4: preferences.rejected: the template names 'wrong', which is no column. Columns: key",
        ),
        (
            ("id: key", 'preferences: {chosen: "{{ note }}", rejected: "{{ note if false }}"}'),
            None,
            "notes/task.yaml:4: preferences.rejected: no row has a rejected answer",
        ),
    ],
)  # fmt: skip
def test_bad_rows(
    make_task: Callable[..., Path], replace: tuple[str, str] | None, data: str | None, message: str | None
) -> None:
    path = make_task(dict([replace]) if replace else None, data)
    if message is None:
        assert read(path).examples[0].prompt == "Write the note.\n\n \n"
    else:
        assert message in complaint(path)


def test_empty_prompt(make_task: Callable[..., Path]) -> None:
    path = make_task({"  Write the note.\n\n": ""}, line(talk=" "))
    assert "notes/data.jsonl:1: the prompt is empty. Check the columns that the template names" in complaint(path)


def test_hash_ids_merge_rows_that_repeat(make_task: Callable[..., Path]) -> None:
    data = line() + line(key=1) + line()
    source = read(make_task({"id: key\n": "", "group: patient\n": ""}, data))
    assert len(source.examples) == 2 and source.notes == ("1 rows that repeat another row were merged with it",)
    assert all(len(example.id) == 16 and example.group == example.id for example in source.examples)
    again = read(make_task({"id: key\n": "", "group: patient\n": ""}, line(key=1) + line()))
    assert {example.id for example in again.examples} == {example.id for example in source.examples}


def test_references_facts_and_pairs(make_task: Callable[..., Path]) -> None:
    changes = {
        'target: "{{ note }}"': 'references: answers\nfacts: facts\npreferences: {chosen: "{{ answers[0] }}", '
        'rejected: "{{ wrong }}"}'
    }
    facts = [{"slot": "dose", "value": "5 mg"}]
    data = [
        {**rows(1)[0], "answers": ["a", "b"], "wrong": "c", "facts": facts},
        {**rows(2)[1], "answers": '["d"]', "wrong": None, "facts": json.dumps(facts)},
        {**rows(3)[2], "answers": ["e"], "wrong": "e", "facts": []},
    ]
    source = read(make_task(changes, data))
    assert [example.references for example in source.examples] == [("a", "b"), ("d",), ("e",)]
    assert [example.fields["facts"] for example in source.examples] == [facts, facts, []]
    assert [(pair.example, pair.chosen, pair.rejected) for pair in source.pairs] == [("0", "a", "c")]
    assert source.notes == ("1 preference pairs with equal answers were left out",)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_are_rows_or_one_line(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    from harness.data.rows import read_file

    for suffix in ("jsonl", "csv", "parquet"):
        file = tmp_path_factory.getbasetemp() / f"any.{suffix}"
        file.write_bytes(content)
        try:
            assert all(isinstance(row.values, dict) for row in read_file(file))
        except DataError as error:
            assert "any." in str(error) and "\n" not in str(error)


# ------------------------------------------------------------------------------------------------------ messages


def chat(*turns: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in turns]


CHAT = """\
# chats
name: notes
data: {path: data.jsonl, licence: CC0-1.0}
messages: conversation
metrics: {primary: rouge_l}
"""


def test_messages(make_task: Callable[..., Path]) -> None:
    one = chat(("system", "Be brief."), ("user", "q1"), ("assistant", "a1"), ("user", "q2"), ("assistant", "a2"))
    two = chat(("system", "Be brief."), ("user", "other"), ("assistant", "yes"))
    source = read(make_task(data=[{"conversation": one}, {"conversation": json.dumps(two)}], text=CHAT))
    first = source.examples[0]
    assert first.references == ("a2",) and first.prompt is None and first.system is None
    assert first.messages == (
        Message("system", "Be brief."), Message("user", "q1"), Message("assistant", "a1"), Message("user", "q2"),
    )  # fmt: skip
    # A system text that all share is no part of what leak checks compare.
    assert list(source.texts.values()) == ["q1\na1\nq2", "other"]


@pytest.mark.parametrize(
    ("conversation", "message"),
    [
        ("hello", "notes/data.jsonl:1: conversation: must be a list of turns"),
        (chat(("assistant", "a")), "must be a list of two or more turns. [{role, content}, …], the last the target"),
        (
            chat(("assistant", "a"), ("user", "q")),
            "conversation: the last turn is 'user'. The last turn must be the ass",
        ),
        (chat(("user", "q"), ("assistant", " ")), "conversation: the target (the last turn) is empty"),
        (chat(("user", ""), ("assistant", "a")), "conversation: the prompt is empty: no text before the last turn"),
        ([{"from": "alien", "value": "q"}] * 2, "conversation: turn 1 is from 'alien'"),
        ([{"role": "user", "content": 5}] * 2, "conversation: turn 1 has no text in `role` and `content`"),
        ([{"role": "user", "content": [{"type": "image"}]}] * 2, "turn 1 has a part that is no text ('image')"),
        ([{"role": "user", "content": "q", "tool_calls": [1]}] * 2, "turn 1 has 'tool_calls', which would be left out"),
    ],
)
def test_bad_messages(make_task: Callable[..., Path], conversation: Any, message: str) -> None:
    assert message in complaint(make_task(data=[{"conversation": conversation}], text=CHAT))


# ------------------------------------------------------------------------------------------------- csv, parquet


def test_csv_with_quotes_line_breaks_and_a_byte_order_mark(here: Path, make_task: Callable[..., Path]) -> None:
    path = make_task({"data.jsonl": "data.csv"})
    talk = 'Doctor: "Hi",\nPatient: yes, ' + "long " * 40000
    with (path / "data.csv").open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerows([["key", "patient", "talk", "note"], ["7", "p", talk, "n"], ["8", "p", "t", "m"]])
    source = read(path)
    assert [example.id for example in source.examples] == ["7", "8"]
    assert source.examples[0].fields["talk"] == talk


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "notes/data.csv:1: the file has no header line"),
        (b"key,key\n", "notes/data.csv:1: column 'key' stands twice in the header"),
        (
            b'key,talk\n1,"a\nb"\n2,c,d\n',
            "notes/data.csv:4: 3 cells where the header has 2. Quote cells that hold commas",
        ),
        (b'key,talk\n1,"a\n', "notes/data.csv:2: broken CSV: unexpected end of data"),
        (b"key,talk\n1,ok\n2,\xff\n", "notes/data.csv:3: not UTF-8 text (invalid start byte). Save the file as UTF-8"),
        (b"key,patient,talk,note\n1,p,t,n\n2,p,t,\n", "notes/data.csv:3: the target is empty"),
    ],
)
def test_bad_csv(make_task: Callable[..., Path], content: bytes, message: str) -> None:
    path = make_task({"data.jsonl": "data.csv"})
    (path / "data.csv").write_bytes(content)
    assert message in complaint(path)


def test_parquet(make_task: Callable[..., Path]) -> None:
    import datetime

    import pyarrow
    import pyarrow.parquet

    path = make_task({"data.jsonl": "'*.parquet'"})
    extra = {"day": datetime.date(2026, 1, 2), "raw": b"\x00", "score": float("nan"), "tags": ["a"]}
    table = pyarrow.Table.from_pylist([{**row, **extra} for row in rows(3)])
    pyarrow.parquet.write_table(table, path / "one.parquet")
    source = read(path)
    assert len(source.examples) == 3
    fields = source.examples[0].fields
    assert (fields["day"], fields["score"], fields["tags"]) == ("2026-01-02", None, ["a"])
    assert fields["raw"].startswith("sha256:")
    (path / "one.parquet").write_bytes(b"PAR1 no")
    assert "notes/one.parquet: not a readable parquet file" in complaint(path)


# ------------------------------------------------------------------------------------------------- split files


FILES = {
    "path: data.jsonl": "files: {train: tr.jsonl, validation: va.jsonl, test: 'te*.jsonl'}",
    "splits: {test: 0.3, validation: 0.2, salt: s}\n": "",
}


def test_split_files_namespace_ids_and_groups(make_task: Callable[..., Path]) -> None:
    path = make_task(FILES)
    for name in ("tr", "va", "te1"):
        (path / f"{name}.jsonl").write_text(line(talk=name))
    source = read(path)
    assert source.by_split is not None
    assert {side: [(e.id, e.group) for e in part] for side, part in source.by_split.items()} == {
        "train": [("train/0", "train/p0")], "validation": [("validation/0", "validation/p0")],
        "test": [("test/0", "test/p0")],
    }  # fmt: skip


def test_one_file_in_two_splits(make_task: Callable[..., Path]) -> None:
    path = make_task({**FILES, "path: data.jsonl": "files: {train: data.jsonl, validation: x.jsonl, test: data.jsonl}"})
    (path / "x.jsonl").write_text(line())
    assert "notes/data.jsonl: stands in two splits of task 'notes'. Give each its own file" in complaint(path)


# ----------------------------------------------------------------------------------------------------- builders


def test_builder(make_task: Callable[..., Path]) -> None:
    path = make_task({"path: data.jsonl": "builder: 'build.py:build', options: {count: 4}"})
    (path / "helper_of_build.py").write_text("def talk(n):\n    return f'alpha{n}'\n")
    (path / "build.py").write_text(
        "from dataclasses import dataclass\n"
        "@dataclass\n"
        "class Visit:\n"
        "    number: int\n"
        "def build(count, start=0):\n"
        "    from helper_of_build import talk\n"
        "    for n in range(count):\n"
        "        yield {'key': n, 'patient': n, 'talk': talk(Visit(n).number), 'note': f'n{n}'}\n"
    )
    source = read(path)
    assert [example.id for example in source.examples] == ["0", "1", "2", "3"]
    assert source.provenance["python"].startswith("3.")
    assert "helper_of_build" not in sys.modules and str(path.resolve()) not in sys.path


def test_builder_that_takes_its_options_whole(make_task: Callable[..., Path]) -> None:
    path = make_task({"path: data.jsonl": "builder: 'build.py:build', options: {note: n}"})
    (path / "build.py").write_text(
        "def build(options):\n    return [{'key': 1, 'patient': 1, 'talk': 't', **options}]\n"
    )
    assert read(path).examples[0].references == ("n",)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "def build(count):\n    raise ValueError('two\\nlines')\n",
            "notes/build.py:2: the builder failed: ValueError: two ",
        ),
        ("def build(count):\n    yield 5\n", "notes/build.py:build row 1: found int in place of a mapping of columns"),
        ("def build(count):\n    return 5\n", "notes/build.py:build: gave int in place of rows"),
        ("def build(cuont=1):\n    return []\n", "notes/build.py:build: unknown option 'count'. Did you mean 'cuont'?"),
        ("def build(count, n):\n    return []\n", "notes/build.py:build: the option 'n' is required. Give it under"),
        ("def bild(count):\n    return []\n", "notes/build.py: no function 'build'. Did you mean 'bild'?"),
        ("def build(count:\n", "notes/build.py:1: the builder cannot be imported: '(' was never closed"),
        ("import no_such_thing\n", "notes/build.py:1: the builder cannot be imported: ModuleNotFoundError"),
        ("def build(count):\n    yield {'key': object()}\n", "row 1: column 'key': holds a object, which is no text,"),
        ("def build(count):\n    yield {'key': float('inf')}\n", "row 1: column 'key': holds an infinite number"),
        ("def build(count):\n    exit(3)\n", "notes/build.py:2: the builder failed: SystemExit: 3"),
    ],
)
def test_bad_builders(make_task: Callable[..., Path], code: str, message: str) -> None:
    path = make_task({"path: data.jsonl": "builder: 'build.py:build', options: {count: 4}"})
    (path / "build.py").write_text(code)
    assert message in complaint(path)


def test_builder_that_is_not_there(make_task: Callable[..., Path]) -> None:
    path = make_task({"path: data.jsonl": "builder: 'build.py:build'"})
    assert "builder 'build.py:build': no such file (notes/build.py). Write it as file.py:function" in complaint(path)


# --------------------------------------------------------------------------------------------------- retention


def test_retention(make_task: Callable[..., Path]) -> None:
    path = make_task({"id: key": "id: key\nretention: {path: keep.jsonl}"})
    (path / "keep.jsonl").write_text('{"text": "one", "domain": "law"}\n{"id": "b", "text": "two"}\n')
    found = read_retention(*load_task(path))
    assert [(text.id, text.text, text.domain) for text in found] == [("0", "one", "law"), ("b", "two", "")]
    (path / "keep.jsonl").write_text('{"body": "one"}\n')
    with pytest.raises(DataError, match=r"^notes/keep.jsonl:1: a retention text needs a `text` column"):
        read_retention(*load_task(path))


# ---------------------------------------------------------------------------------------------------------- hub


HUB = """
import sys, json
from pathlib import Path
from harness.errors import HarnessError
from harness.experiments.loading.load import load_task
from harness.data.examples import read_examples
import datasets

rows = [{"key": n, "patient": f"p{n}", "talk": f"t{n}", "note": "n"} for n in range(6)]
whole = datasets.Dataset.from_list(rows)
parts = datasets.DatasetDict(train=whole.select(range(4)), valid=whole.select([4]), test=whole.select([5]))
parts.save_to_disk("notes/parts")
whole.save_to_disk("notes/whole")
folder = Path("notes/plain"); folder.mkdir()
for name, part in (("train", parts["train"]), ("validation", parts["valid"]), ("test", parts["test"])):
    part.to_parquet(str(folder / f"{name}-00000-of-00001.parquet"))
text = Path("notes/task.yaml").read_text()
answers = {}
for name, extra in (("parts", ""), ("parts", ", hub_split: train"), ("plain", ""), ("whole", ""), ("whole", "+splits"),
                    ("parts", ", hub_split: dev"), ("someone/unknown", "")):
    task = text.replace("path: data.jsonl", f"hub: {name}" + extra.replace("+splits", ""))
    if extra in ("", ):
        task = task.replace("splits: {test: 0.3, validation: 0.2, salt: s}\\n", "")
    Path("notes/task.yaml").write_text(task)
    try:
        found = read_examples(*load_task(Path("notes")))
        answers[name + extra] = [e.id for e in found.examples]
    except HarnessError as error:
        answers[name + extra] = str(error)
print(json.dumps(answers))
"""


def test_hub_data_sets_from_local_folders_and_without_a_network(here: Path, make_task: Callable[..., Path]) -> None:
    make_task()
    root = str(Path(__file__).parents[3])
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(here / "hf"), "PYTHONPATH": root}
    done = subprocess.run([sys.executable, "-c", HUB], capture_output=True, text=True, env=environment, cwd=here)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    own = [*(f"train/{n}" for n in range(4)), "validation/4", "test/5"]
    assert answers["parts"] == own and answers["plain"] == own
    assert answers["parts, hub_split: train"] == ["0", "1", "2", "3"]
    assert answers["whole"].startswith("data.hub: 'whole' has no validation split (it has train). Give `hub_split: tra")
    assert answers["whole+splits"] == ["0", "1", "2", "3", "4", "5"]
    assert answers["parts, hub_split: dev"] == (
        "data.hub_split: 'parts' has no split 'dev'. Splits: train, valid, test"
    )
    unknown = answers["someone/unknown"]
    assert unknown.startswith("data.hub: cannot read the data set 'someone/unknown': ")
    assert "hf auth login" in unknown and "HF_TOKEN" in unknown and "\n" not in unknown
