"""What all pages share: home, store, the chosen experiment, errors in one line, and text that cannot act.

A model's answers are hostile text: they are shown through `plain`, which escapes everything, never as Markdown or HTML.
"""

from __future__ import annotations

import html
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import streamlit as st

from harness.errors import HarnessError
from harness.records import Example, ExperimentRecord
from harness.results import cache, queries
from harness.results.collect import Results, collect, with_logs
from harness.results.leaderboard.rows import Leaderboard
from harness.store import Store

Look = Literal["large", "scroll", "code"]
F = TypeVar("F", bound=Callable[..., Any])
RUN_FIRST = "Run `harness run baselines/visit_notes.yaml`"
STYLE = """<style>
.plain {white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate; line-height: 1.5;
        border: 1px solid rgba(128,128,128,.35); border-radius: .4rem; padding: .7rem .9rem;}
.plain.large {font-size: 1.15rem;}
.plain.scroll {max-height: 38vh; overflow-y: auto;}
.plain.code {font-family: monospace; font-size: .95rem;}
.plain mark {background: rgba(230,159,0,.35); color: inherit; border-radius: .2rem;}
[data-testid="stMainBlockContainer"] {padding-top: 3rem;}
[data-testid="stMarkdownContainer"] table {display: block; max-width: 100%; overflow-x: auto; white-space: nowrap;}
@media (max-width: 1000px) {
  [data-testid="stSidebar"][data-collapsed="false"] {width: 190px !important; min-width: 190px !important;}
  [data-testid="stMarkdownContainer"] table {font-size: .8rem;}
  [data-testid="stMarkdownContainer"] :is(th, td) {padding: .25rem .4rem;}
}
</style>"""


def cached(entries: int) -> Callable[[F], F]:
    """Keep what a function returns for the last `entries` arguments, for all sessions; `_x` is no key."""
    return cast(Callable[[F], F], st.cache_resource(show_spinner=False, max_entries=entries))


def fragment(run_every: float | None = None) -> Callable[[F], F]:
    """A part of the page that runs again on its own."""
    return cast(Callable[[F], F], st.fragment(run_every=run_every))


def home() -> Path:
    """The home folder of this server."""
    return Path(os.environ.get("HARNESS_HOME", ".harness")).absolute()


def store() -> Store | None:
    """The store, with a lease; None where nothing has run yet (looking makes no database)."""
    path = queries.database(home())
    return Store(path, lease=True) if path.exists() else None


def page(title: str, draw: Callable[[Store], None]) -> None:
    """Draw a page over the store; what is wrong with it is one line."""
    st.title(title)
    st.html(STYLE)
    try:
        store_ = store()
        if store_ is None:
            st.info(f"No experiment is stored in {home()} yet. {RUN_FIRST}.")
            return
        draw(store_)
    except HarnessError as error:
        st.error(words(str(error)))


def experiment_page(title: str, draw: Callable[[Store, ExperimentRecord], None]) -> None:
    """Draw a page about the experiment that is picked in the side bar."""

    def draw_chosen(store_: Store) -> None:
        record = chosen(store_)
        if record is not None:
            draw(store_, record)

    page(title, draw_chosen)


def chosen(store_: Store) -> ExperimentRecord | None:
    """The experiment that is picked in the side bar, the newest at first; the same on every page."""
    records = store_.experiments()[::-1]
    if not records:
        st.info(f"No experiment is stored in {home()} yet. {RUN_FIRST}.")
        return None
    with st.sidebar:
        records = _filtered("Task", records, lambda record: str(record.task.get("name", "?")))
        records = _filtered("Base model", records, base_of)
        names = {record.experiment_id: record for record in records}
        before = st.session_state.get("experiment_id")
        picked = st.selectbox(
            "Experiment",
            list(names),
            index=list(names).index(before) if before in names else 0,
            format_func=lambda key: _title(names[key], records),
            key="experiment",
        )
        st.caption(f"Begun {_begun(names[picked])} UTC")
    st.session_state["experiment_id"] = picked
    return names[picked]


def _filtered(
    label: str, records: Sequence[ExperimentRecord], read: Callable[[ExperimentRecord], str]
) -> list[ExperimentRecord]:
    options = sorted({read(record) for record in records})
    if len(options) < 2:
        return list(records)
    value = st.selectbox(label, ["all", *options], key=f"filter {label}")
    return [record for record in records if value in ("all", read(record))]


def base_of(record: ExperimentRecord) -> str:
    """Name of an experiment's base model."""
    given = record.spec.get("base_model")
    path = given.get("path", "?") if isinstance(given, dict) else given
    return Path(str(path or "?")).name


def _title(record: ExperimentRecord, records: Sequence[ExperimentRecord]) -> str:
    """The name; with its time where another experiment is called the same."""
    alone = sum(other.name == record.name for other in records) == 1
    return record.name if alone else f"{record.name} · {_begun(record)}"


def _begun(record: ExperimentRecord) -> str:
    return record.created[:16].replace("T", " ")


def board(store_: Store, experiment_id: str) -> Leaderboard:
    """The leaderboard, made anew only where something has changed."""
    return _board(str(home()), experiment_id, store_.state(experiment_id), store_)


@cached(32)
def _board(folder: str, experiment_id: str, state: str, _store: Store) -> Leaderboard:
    return cache.board(_store, Path(folder), experiment_id)


def results(store_: Store, experiment_id: str) -> Results:
    """Everything that the views of one experiment are made from."""
    return _results(str(home()), experiment_id, store_.state(experiment_id), store_)


@cached(4)
def _results(folder: str, experiment_id: str, state: str, _store: Store) -> Results:
    return with_logs(collect(_store, experiment_id), _store)


def words(text: str) -> str:
    """One line of text for a place that takes Markdown (a label, a note): shown as it is, never a link, an image, a
    formula, an icon or a colour.

    Streamlit looks for icons and addresses in what Markdown has read already, where a backslash is gone: a word joiner
    (U+2060, no width) parts them.
    """
    flat = " ".join(text.split())
    flat = re.sub(r"[\\`*\[\]<>$~&]|(?<![^\W_])_|_(?![^\W_])|^[#+=-]|(?<=^\d)[.)]", r"\\\g<0>", flat)
    return re.sub(r"(?i):(?=[\w+/-])|@|\bwww(?=\.)|-(?=-)|<(?=-)|-(?=\\?>)|[<>~](?==)", "\\g<0>\u2060", flat)


def examples(record: ExperimentRecord) -> dict[str, Example]:
    """Test examples of an experiment by id, read again only where the file has changed."""
    return _examples(str(queries.sealed_file(home(), record)), examples_changed(record), record)


def examples_changed(record: ExperimentRecord) -> int:
    """When the file of an experiment's test examples was written; 0 where it is not there."""
    file = queries.sealed_file(home(), record)
    return file.stat().st_mtime_ns if file.exists() else 0


@cached(4)
def _examples(file: str, changed: int, _record: ExperimentRecord) -> dict[str, Example]:
    return queries.sealed_examples(home(), _record)


def plain(text: str, *looks: Look) -> None:
    """Text as it is: nothing in it is taken for markup."""
    pieces([("both", text)], *looks)


def pieces(parts: Sequence[tuple[str, str]], *looks: Look) -> None:
    """Pieces of a text one after the other, those that are `own` marked."""
    inner = "".join(
        f"<mark>{html.escape(text)}</mark>" if kind == "own" and text.strip() else html.escape(text)
        for kind, text in parts
    )
    st.html(f'<div class="{" ".join(["plain", *looks])}">{inner or "&nbsp;"}</div>')
