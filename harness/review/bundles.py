"""Writes and loads a round to be judged elsewhere: a folder without arms that a small machine serves.

    FOLDER/bundle.json   schema, instructions, criteria, flags, practice item, invitations (hashes of their tokens)
    FOLDER/items.jsonl   a line for each assignment: token, item, queue, place, prompt, left, right, reference

    FOLDER/votes/        once it was served: the store with its votes

`load_bundle` checks every value and makes of it a round in a store, over which the same pages work. That store's
journal (or an export of its votes) goes back with `harness review import`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import ReviewError
from harness.records import Assignment, Invitation, Judgment, ReviewText, Round, from_json, to_json
from harness.records.files import write_text
from harness.results.human.votes import standing
from harness.review.desk import AMONG, is_closed
from harness.review.lifecycle import round_of
from harness.review.serve import pair_texts

if TYPE_CHECKING:
    from harness.store import Store

SCHEMA = "harness.review-bundle/1"
ABOUT, ITEMS = "bundle.json", "items.jsonl"
VOTES = "votes"
"""Folder within a bundle in which `harness review serve` keeps its store."""
_TOKEN = re.compile(r"[A-Za-z0-9_-]{22,64}")
_SHOWN = ("instructions", "criteria", "flags", "render", "question", "reservation_minutes", "raters", "queues")
"""Fields of a round that a bundle carries as they are."""
_ABOUT_KEYS = {"schema", "round", "opened", "practice", "invitations", "items", "items_sha256", *_SHOWN}
_ITEM_KEYS = {"token", "item", "queue", "place", "prompt", "left", "right", "reference"}


def write_bundle(store: Store, round_id: str, folder: Path) -> int:
    """Write the unjudged assignments of an open round into `folder`, which must be new or empty; returns their number.

    Raises ReviewError for a closed round, a sensitive task, or a folder that is in use.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ReviewError(f"{folder} is not an empty folder", hint="Give a new one with --out")
    with store.session() as session:
        round_ = round_of(session, round_id)
        if round_.closed is not None:
            raise ReviewError(f"the round {round_id} is closed", hint="Open another one")
        if round_.sensitive:
            raise ReviewError("the task is sensitive: no text of it leaves the store", hint="Invite to `harness app`")
        pairs = session.read(Assignment, "round = $1 AND queue IS NOT NULL", [round_id])
        votes = standing(session.read(Judgment, f"assignment {AMONG}", [[a.token for a in pairs]], all_rows=True))
        people = session.read(Invitation, "round = $1 AND NOT revoked", [round_id])
        waiting = [a for a in pairs if a.token not in votes or not is_closed(votes[a.token], votes[a.token].rater)]
        lines = [
            {"token": a.token, "item": a.item, "queue": a.queue, "place": a.place, **pair_texts(session, round_, a)}
            for a in waiting
        ]
    text = "".join(json.dumps(line, ensure_ascii=False, sort_keys=True) + "\n" for line in lines)
    about = {
        "schema": SCHEMA,
        "round": round_.id,
        "opened": round_.opened.when,
        **{name: to_json(getattr(round_, name)) for name in _SHOWN},
        "practice": to_json(round_.practice),
        "invitations": [_invitation(invitation) for invitation in people],
        "items": len(lines),
        "items_sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
    write_text(folder / ITEMS, text)
    write_text(folder / ABOUT, json.dumps(about, ensure_ascii=False, indent=1) + "\n")
    return len(lines)


def _invitation(invitation: Invitation) -> dict[str, Any]:
    plain: dict[str, Any] = to_json(invitation)
    return {name: plain[name] for name in ("name", "salt", "token_hash", "created", "queue", "arrived")}


def load_bundle(store: Store | Callable[[], Store], folder: Path) -> Round:
    """Check a bundle and make it a round of `store` (or of what it returns, once all is checked); again adds nothing.

    Raises ReviewError naming file, line and field for whatever is not as `write_bundle` makes it.
    """
    about, text = _about(folder), _read(folder / ITEMS)
    if hashlib.sha256(text.encode()).hexdigest() != about["items_sha256"]:
        raise ReviewError(f"{folder / ITEMS} was changed or cut short", hint="Copy the bundle again")
    lines = [_item(folder, number, line) for number, line in enumerate(text.splitlines(), 1)]
    if len({line["token"] for line in lines}) != len(lines) or len(lines) != about["items"]:
        raise ReviewError(f"{folder / ITEMS}: tokens are missing or doubled", hint="Make the bundle again")
    round_ = from_json(
        Round,
        {
            "id": about["round"],
            "experiment": "",
            "arms": [],
            "evaluations": {},
            "split": "bundle",
            "items": len({line["item"] for line in lines}),
            "seed": None,
            "exclusion": {"gold_accuracy": None},
            "gold": 0,
            "identical": 0,
            "repeats": 0,
            "opened": {"when": about["opened"], "who": "", "why": "a bundle"},
            "practice": about["practice"],
            **{name: about[name] for name in _SHOWN},
        },
    )
    # Every pair as an ordinary one: a bundle does not know which are gold, identical or repeated.
    pairs = [
        Assignment(x["token"], round_.id, "ordinary", x["item"], x["token"], "left", "right", x["queue"], x["place"])
        for x in lines
    ]
    sources = ("prompt", "left", "right", "reference")
    texts = [ReviewText(round_.id, x["token"], source, x[source]) for x in lines for source in sources if source in x]
    people = [Invitation(round=round_.id, role="reviewer", **invitation) for invitation in about["invitations"]]
    with (store() if callable(store) else store).session() as session:
        if not session.read(Round, "id = $1", [round_.id]):
            session.write(round_, *pairs, *texts, *people)
    return round_


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ReviewError(f"{path} cannot be read: {error}", hint="Give the folder of a review bundle") from None


def _about(folder: Path) -> dict[str, Any]:
    path = folder / ABOUT
    try:
        about = json.loads(_read(path))
    except ValueError as error:
        raise ReviewError(f"{path}: no JSON: {error}", hint="Copy the bundle again") from None
    if not isinstance(about, dict) or about.get("schema") != SCHEMA:
        raise ReviewError(f"{path}: is no {SCHEMA}", hint="Make it with `harness review bundle` of the same version")
    if set(about) != _ABOUT_KEYS:
        odd = sorted(set(about) ^ _ABOUT_KEYS)
        raise ReviewError(f"{path}: {', '.join(odd)}: missing, or not a field of a bundle", hint="Make it again")
    for name, kind in (
        ("round", str), ("opened", str), ("instructions", str), ("question", str), ("items_sha256", str),
        ("criteria", list), ("flags", list), ("invitations", list), ("items", int), ("raters", int), ("queues", int),
        ("reservation_minutes", (int, float)),
    ):  # fmt: skip
        if not isinstance(about[name], kind) or isinstance(about[name], bool):
            raise ReviewError(f"{path}: {name}: has the wrong type", hint="Make it again")
    if about["render"] not in ("text", "code"):
        raise ReviewError(f"{path}: render: must be text or code", hint="Make it again")
    practice, keys = about["practice"], {"prompt", "left", "right", "answer", "why"}
    if practice is not None and (not isinstance(practice, dict) or set(practice) != keys):
        raise ReviewError(f"{path}: practice: must hold {', '.join(sorted(keys))}", hint="Make it again")
    keys = {"name", "salt", "token_hash", "created", "queue", "arrived"}
    if any(not isinstance(invitation, dict) or set(invitation) != keys for invitation in about["invitations"]):
        raise ReviewError(f"{path}: invitations: each must hold {', '.join(sorted(keys))}", hint="Make it again")
    return about


def _item(folder: Path, number: int, line: str) -> dict[str, Any]:
    where = f"{folder / ITEMS}:{number}"
    try:
        item = json.loads(line)
    except ValueError:
        item = None
    if not isinstance(item, dict) or not _ITEM_KEYS - {"reference"} <= set(item) <= _ITEM_KEYS:
        raise ReviewError(f"{where}: must hold {', '.join(sorted(_ITEM_KEYS))} and nothing else", hint="Make it again")
    for name in ("token", "item"):
        if not isinstance(item[name], str) or not _TOKEN.fullmatch(item[name]):
            raise ReviewError(f"{where}: {name}: is no token of 128 bits or more", hint="Make it again")
    for name in ("queue", "place"):
        if type(item[name]) is not int or item[name] < 0:
            raise ReviewError(f"{where}: {name}: must be a whole number from 0", hint="Make it again")
    for name in {"prompt", "left", "right", "reference"} & set(item):
        if not isinstance(item[name], str):
            raise ReviewError(f"{where}: {name}: must be a text", hint="Make it again")
    return item
