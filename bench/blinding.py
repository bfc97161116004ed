"""Nothing that is sent to a reviewer, or to nobody in particular, names an arm.  python bench/blinding.py

A real server over a finished experiment whose arms, experiment and home folder are canary strings. A WebSocket client
votes, takes back, asks for references, provokes exceptions of three kinds, reloads and comes to the end; another asks
for every address without a token; a bundle is written. In every byte that was sent, headers included, canaries are
looked for: names, ids of runs and of evaluations, in several encodings. Then the same with the protection removed in
one place at a time, which must be found, or the search is no search. Prints the figures, and exits with 1 when a
canary was sent, or when one was not found where it must be.
"""

from __future__ import annotations

import base64
import json
import os
import re
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, redirect_stderr
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import app_process
from page_client import Client, Tap

from harness import review
from harness.experiments import pipeline
from harness.progress import Reporter
from harness.records import Assignment, Judgment
from harness.results import queries
from harness.review import bundles, opening

ARMS = ("kanari-alpha", "kanari-omega")
NAMES = (*ARMS, "kanari-study", "kanari-home")
SENTENCE = "This address opens with the link that you were sent. If it has stopped working, ask for a new one."
OPEN = {"Please use your link", SENTENCE}
LEAKS = ("texts", "errors", "door", "bundle")
TASK = """
name: echo
data: {path: rows.jsonl, licence: CC0-1.0}
id: id
group: group
prompt: "Say: {{ words }}"
target: "{{ words }}"
splits: {test: 0.4, validation: 0.2}
generate: {max_new_tokens: 60}
allow_unreachable: what is looked for is names, not scores
metrics: {primary: exact_match}
review: {criteria: [correctness], flags: [fabrication], practice: {
  prompt: "Say: 1 2", left: 1 2, right: 2 1, answer: left, why: It repeats the words.}}
"""
EXPERIMENT = """
task: task
base_model: none
arms:
  - {method: toy, name: kanari-alpha, skill: 0.9}
  - {method: toy, name: kanari-omega, skill: 0.1}
budget: {examples: 10}
reference: kanari-omega
"""
# Read by the served process alone: exceptions on demand that name everything, and one hole at a time.
CUSTOM = """
import os, sys
words = getattr(sys, "orig_argv", [])
leak, wanted = os.environ.get("BLINDING_LEAK"), os.environ.get("BLINDING_FAULT", "")
if "harness.app.server" in words:
    from dataclasses import replace
    from harness import review
    from harness.app import access
    from harness.errors import StoreError
    names = os.environ["BLINDING_NAMES"]
    def faulty(name):
        right = getattr(review, name)
        def call(*args, **options):
            fault = open(wanted).read()
            if fault == name:
                raise RuntimeError("an exception of " + names)
            if fault == "store " + name:
                raise StoreError("cannot read " + names, hint="see " + names)
            return right(*args, **options)
        setattr(review, name, call)
    for name in ("briefing", "next_item", "vote_and_next", "undo", "reference"):
        faulty(name)
    if leak == "texts":
        def named(found):
            return replace(found, left=names.split()[0] + ": " + found.left) if hasattr(found, "left") else found
        following, voting = review.next_item, review.vote_and_next
        review.next_item = lambda *args: named(following(*args))
        def voted(*args):
            receipt, found = voting(*args)
            return receipt, named(found)
        review.vote_and_next = voted
    if leak == "door":
        access.is_owner = lambda home, token: True
elif "app" in words and leak == "errors":
    from harness.app import launch as serve
    options = serve.options
    serve.options = lambda *args: [
        one.replace("showErrorDetails=none", "showErrorDetails=full") for one in options(*args)
    ]
"""


@dataclass(slots=True)
class Finds:
    """Where canaries were seen, and how much was looked at."""

    needles: dict[bytes, str]
    looked: dict[str, int] = field(default_factory=dict)
    """Bytes by where they came from."""
    found: list[str] = field(default_factory=list)
    shown: int = 0
    """Texts that somebody without a token saw beside the one sentence."""

    def look(self, where: str, data: bytes) -> None:
        """Search bytes."""
        self.looked[where] = self.looked.get(where, 0) + len(data)
        low = data.lower()
        for needle, name in self.needles.items():
            if needle in low:
                at = low.index(needle)
                self.found.append(f"{where}: {name}: …{data[max(0, at - 40) : at + 60]!r}…")


def needles(words: set[str]) -> dict[bytes, str]:
    """What to look for: every word as UTF-8, UTF-16, hex and base64 (at each of its three offsets), in lower case."""
    found = {}
    for word in words:
        data = word.encode()
        codes = [base64.b64encode(b"\0" * skip + data)[4 * bool(skip) :][: len(data)] for skip in range(3)]
        # The first and last characters of a base64 text depend on what stands beside it.
        forms = {data, word.encode("utf-16-le"), data.hex().encode(), *(code[3:-4] for code in codes)}
        found |= {form.lower(): word for form in forms}
    return found


@dataclass(frozen=True, slots=True)
class Stage:
    """A home folder with a finished experiment, and what must not be said of it."""

    home: Path
    fault: Path
    words: frozenset[str]

    @staticmethod
    def made(folder: Path) -> Stage:
        """Run the toys."""
        for name in ("task", "none", "site"):
            (folder / name).mkdir()
        rows = [{"id": f"e{n}", "group": f"g{n}", "words": f"{n * 7919} {n * 104729}"} for n in range(1, 41)]
        (folder / "task" / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "task" / "task.yaml").write_text(TASK)
        (folder / "kanari-study.yaml").write_text(EXPERIMENT)
        (folder / "site" / "sitecustomize.py").write_text(CUSTOM)
        home = folder / "kanari-home"
        with Reporter() as reporter:
            pipeline.run(folder / "kanari-study.yaml", home, reporter)
        store = queries.open_store(home)
        (record,) = store.experiments()
        ids = {one for entry in store.entries(record.experiment_id) for one in (entry.train_id, entry.eval_id) if one}
        folders = {path.name for kind in ("runs", "evals") for path in (home / kind).iterdir()}
        fault = folder / "fault"
        fault.write_text("")
        return Stage(home, fault, frozenset({*NAMES, *ids, *folders, record.experiment_id}))

    def environment(self, leak: str | None) -> dict[str, str]:
        """Of the served process."""
        path = os.pathsep.join([str(self.fault.parent / "site"), *filter(None, [os.environ.get("PYTHONPATH")])])
        told = {"BLINDING_NAMES": " ".join(sorted(self.words)), "BLINDING_FAULT": str(self.fault), "PYTHONPATH": path}
        return told | ({"BLINDING_LEAK": leak} if leak else {})


def rounds(stage: Stage) -> tuple[str, str, str]:
    """A new round, and the tokens of two reviewers."""
    request = opening.Request(ARMS, 5, raters=2, gold=1, identical=1, repeats=1, ask_identical=True)
    with Reporter() as reporter:
        there = opening.open_experiment(stage.home, "kanari-study", request, "owner", reporter)
    store = queries.open_store(stage.home)
    return there.id, review.invite(store, there.id, "Ann"), review.invite(store, there.id, "Ben")


def judge(stage: Stage, port: int, token: str, compression: str | None) -> Client:
    """A whole round, with everything that can go wrong on the way; the client at its thanks."""
    client = Client.opened(port, token, compression)
    client.press("Begin")
    for turn in range(60):
        if not client.has("button", "Left is better"):
            break
        time.sleep(0.55)
        if turn == 1:
            client.run({client.find("checkbox", "Show the reference"): None})
            provoke(stage, client)
            client.run()  # a reload
        if turn == 3:
            client.press("Take back")
            time.sleep(0.55)
        client.press("Left is better" if turn % 2 else "Equally good")
    client.press("I cannot tell")
    return client


def provoke(stage: Stage, client: Client) -> None:
    """Exceptions that name everything: in the page, in its fragment, in callbacks, and the store's own."""
    for fault, act in (
        ("briefing", lambda: client.run()),
        ("reference", lambda: client.run({client.find("checkbox", "Show the reference"): None})),
        ("vote_and_next", lambda: client.press("Left is better")),
        ("store vote_and_next", lambda: client.press("Left is better")),
        ("undo", lambda: client.press("Take back")),
        ("store undo", lambda: client.press("Take back")),
        ("store briefing", lambda: client.run()),
    ):
        time.sleep(0.55)
        stage.fault.write_text(fault)
        act()
        stage.fault.write_text("")
        client.run()


def addresses(known: list[str]) -> list[str]:
    """Every route of the server, pages, traversals, and what a session was told of."""
    pages = [
        "",
        "leaderboard",
        "compare",
        "training",
        "tradeoffs",
        "data",
        "gates",
        "review",
        "review_results",
        "app.py",
    ]
    inside = ["health", "script-health-check", "metrics", "host-config", "message?hash=0", "stream", "message"]
    agents = ["agent/openapi.json", "agent/interact", "agent/mcp", "upload_file/0/0", "bidi-components/x/index.js"]
    files = ["media/0.md", "component/x/index.html", "app/static/owner.token", "static/../app.py", "favicon.png"]
    traversals = ["..%2f..%2fowner.token", "media/..%2f..%2fharness.duckdb", "static/..%2f..%2f..%2fapp.py"]
    paths = [*pages, *(f"_stcore/{one}" for one in [*inside, *agents]), *files, *traversals, *known]
    return [f"/{path}" for path in dict.fromkeys(paths)]


def fetch(port: int, path: str, method: str) -> bytes:
    """What is answered, whatever its status."""
    data = b'{"query": ""}' if method == "POST" else None
    headers = {"Content-Type": "application/json"} if data else {}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        return error.read()


def uninvited(finds: Finds, app: Any, owner: Client, tap: Tap) -> int:
    """Ask for everything without a token; the number of addresses."""
    told = b"".join(owner.messages)
    known = [one.decode() for one in set(re.findall(rb"(?:media|component|static)/[\w./-]+\w", told))]
    page = fetch(app.port, "/", "GET").decode()
    paths = addresses([*known, *re.findall(r"(?:src|href)=\"\./([^\"]+)\"", page)])
    for path in paths:
        for method in ("GET", "POST"):
            fetch(tap.port, path, method)
    for token in (None, "x" * 43):
        client = Client.opened(tap.port, token)
        for hash_, name in [*owner.pages.items(), ("", "compare"), ("", "leaderboard")]:
            finds.shown += len(set(client.texts()) - OPEN)
            client.run(page=hash_, page_name=name)
        client.run({f"$$ID-{'0' * 32}-choose left": True})
        finds.shown += len(set(client.texts()) - OPEN)
    return len(paths)


def watch(stage: Stage, finds: Finds, leak: str | None, tokens: tuple[str, str]) -> tuple[int, int]:
    """One server, looked at from everywhere; how many addresses were asked for, and canaries sent to the owner."""
    app = app_process.start(stage.home, environment=stage.environment(leak))
    try:
        tap, silent, door = Tap(app.port), Tap(app.port), Tap(app.port)
        if leak != "door":
            judge(stage, tap.port, tokens[0], None)
            finds.look("a reviewer's session, on the wire", bytes(tap.heard))
        if leak is None:
            other = judge(stage, app.port, tokens[1], "deflate")
            finds.look("another's, unpacked", b"".join(other.messages))
        if leak not in (None, "door"):
            return 0, 0
        owner = Client.opened(silent.port, app.link.partition("token=")[2])
        for page, title in list(owner.pages.items()):
            owner.run(page=page, page_name=title)
        asked = uninvited(finds, app, owner, door)
        finds.look("without a token", bytes(door.heard))
        own = Finds(finds.needles)
        own.look("owner", b"".join(owner.messages) + bytes(silent.heard))
        return asked, len(own.found)
    finally:
        app.kill()


def look(stage: Stage, leak: str | None = None) -> tuple[Finds, dict[str, int]]:
    """What was found, and counts that show that there was something to find."""
    finds = Finds(needles(set(stage.words)))
    name, *tokens = rounds(stage)
    asked, own = (0, 0) if leak == "bundle" else watch(stage, finds, leak, (tokens[0], tokens[1]))
    store = queries.open_store(stage.home)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        if leak == "bundle":
            stack.callback(setattr, bundles, "_SHOWN", bundles._SHOWN)
            bundles._SHOWN = (*bundles._SHOWN, "arms")
        fresh, _, _ = rounds(stage)
        review.write_bundle(store, fresh, Path(folder) / "bundle")
        for file in sorted((Path(folder) / "bundle").iterdir()):
            finds.look(f"bundle's {file.name}", file.name.encode() + file.read_bytes())
    with store.session() as session:
        mine = {a.token for a in session.read(Assignment, "round = $1", [name])}
        votes = [one for one in session.read(Judgment, "true", [], all_rows=True) if one.assignment in mine]
    return finds, {"votes": len(votes), "addresses": asked, "owner": own}


def main() -> int:
    """Protected, then with one hole after the other."""
    with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere):
        stage = Stage.made(Path(folder))
        finds, counts = look(stage)
        holes = {leak: look(stage, leak)[0] for leak in LEAKS}
    print(f"{len(stage.words)} canaries in {len(finds.needles)} forms")
    for where, size in finds.looked.items():
        print(f"{where}: {size:,} bytes")
    print(f"{counts['votes']} rows of votes, {counts['addresses']} addresses asked for without a token, twice each")
    print(f"texts shown without a token: {finds.shown}; kinds of canaries that the owner is sent: {counts['owner']}")
    for leak, found in holes.items():
        print(f"protection of {leak} removed: {len(found.found)} found, {found.shown} texts shown")
    for line in finds.found[:20]:
        print(f"FOUND {line}")
    print(f"canaries sent: {len(finds.found)}")
    seen = [found.found for found in holes.values()]
    blind = not all(seen) or not counts["owner"] or not counts["votes"]
    if blind:
        print("the search is blind: something that must be found was not", file=sys.stderr)
    return 1 if finds.found or finds.shown or blind else 0


if __name__ == "__main__":
    sys.exit(main())
