"""Real servers, asked over raw WebSockets: a bundle on a machine without models, and an address that others reach."""

from __future__ import annotations

import importlib
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from harness import review
from harness.app.access import owner_token
from harness.cli import main
from harness.results.queries import database
from harness.review.plan import Design
from harness.store import Store

ROOT = Path(__file__).parents[2]
HEAVY = (
    "torch", "transformers", "peft", "trl", "datasets", "accelerate", "bitsandbytes", "lm_eval", "evaluate",
    "sacrebleu", "rouge_score", "scipy", "statsmodels", "plotly", "matplotlib", "optuna", "datasketch",
    "psutil", "pytz",
)  # fmt: skip
FORBID = f"""
import sys
class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY!r}:
            open(__file__.replace("sitecustomize.py", "asked"), "a").write(name + chr(10))
            raise ImportError(name + " is not on this machine")
sys.meta_path.insert(0, Forbidden())
"""


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ModuleType, ModuleType]]:
    """The benchmarks' WebSocket client, and their rounds."""
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    yield importlib.import_module("app_session"), importlib.import_module("made_rounds")
    for name in ("app_session", "made_rounds"):
        sys.modules.pop(name, None)


@pytest.fixture
def home(tmp_path: Path, bench) -> tuple[Path, str]:
    """A home folder with an open round of six pairs and two reviewers; the token of one of them."""
    store = Store(database(tmp_path / "home"))
    bench[1].open_made(store, "r1", Design(6, 2, 2), random.Random(1), ("canary-one", "canary-two"))
    return tmp_path / "home", bench[1].reviewers(store, "r1", 2)[0]


def vote_all(session) -> int:
    """Answer everything; the number of votes."""
    screen, count = session.run(), 0
    screen = session.run(button=screen.buttons["Begin"])
    while "Left is better" in screen.buttons:
        time.sleep(0.6)  # a choice sooner than half a second after its pair is none
        screen = session.run(button=screen.buttons["Left is better"])
        count += 1
    assert screen.says("Thank you!")
    return count


def test_a_bundle_is_served_without_models_and_its_votes_come_back_once(
    home, bench, tmp_path, monkeypatch, capsys
) -> None:
    """Six votes over a real server in whose process no model library can be imported, nor is asked for."""
    folder, hook = tmp_path / "bundle", tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(FORBID)
    assert main.call(["review", "bundle", "r1", "--out", str(folder), "--home", str(home[0])]) == 0
    monkeypatch.setattr(sys, "path", [sys.path[0], str(hook), *sys.path[1:]])
    server = bench[0].AppServer(tmp_path, bench[0].free_port(), "review", "serve", str(folder))
    try:
        server.wait()
        assert vote_all(server.session(home[1])) == 6
        owner = server.session(owner_token(folder / "votes"))
        screen = owner.run()
        assert list(screen.pages) == ["Status"] and screen.says("Progress of the review") and not screen.exceptions
        stranger = server.session(owner_token(home[0])).run()
        assert stranger.says("Please use your link") and not stranger.says("How far")
    finally:
        server.signal(signal.SIGTERM)
    asked = set((hook / "asked").read_text().split()) if (hook / "asked").exists() else set()
    assert asked <= {"plotly", "pytz"}, asked  # Streamlit tries the one, pandas the other, and both go on without
    assert not any("canary" in file.read_text(errors="replace") for file in folder.rglob("*") if file.is_file())
    for words in ("6 votes taken in, 0 were there already", "0 votes taken in, 6 were there already"):
        assert main.call(["review", "import", str(folder), "--home", str(home[0])]) == 0
        assert words in capsys.readouterr().out
    assert review.status(Store(database(home[0])), "r1").votes == 6


def test_a_folder_without_a_bundle_or_without_votes_is_one_line(home, tmp_path, capsys) -> None:
    (tmp_path / "empty").mkdir()
    assert main.call(["review", "serve", str(tmp_path / "empty")]) == 2
    assert "bundle.json cannot be read" in capsys.readouterr().err
    assert list((tmp_path / "empty").iterdir()) == []
    assert main.call(["review", "import", str(tmp_path / "empty"), "--home", str(home[0])]) == 2
    assert "holds no votes yet" in capsys.readouterr().err


def addresses() -> list[str]:
    """Addresses of this machine: the loopback's, and the one that others use where it has one."""
    found = ["127.0.0.1"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
            found.append(probe.getsockname()[0])
        except OSError:
            pass
    return found


def test_on_all_addresses_nothing_is_shown_without_a_token(home, bench, capfd) -> None:
    """`--host 0.0.0.0`: neither a missing nor a wrong token opens a page, at any of the machine's addresses."""
    words = ("app", "--home", str(home[0]), "--no-browser", "--host", "0.0.0.0")
    server = bench[0].AppServer(home[0], bench[0].free_port(), *words)
    try:
        server.wait()
        for address in addresses():
            for token in ("", "x", home[1][:-1], owner_token(home[0])[:-1], home[1].swapcase()):
                screen = server.session(token, address).run()
                assert list(screen.pages) == ["Review"], (address, token)
                assert screen.texts[0] == "Please use your link" and len(screen.texts) == 2 and not screen.buttons
            assert next(iter(server.session(owner_token(home[0]), address).run().pages)) == "Leaderboard"
            assert "Begin" in server.session(home[1], address).run().buttons
    finally:
        server.signal(signal.SIGTERM)
    assert "without TLS they can read every link" in (home[0] / "server.log").read_text()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_the_server_goes_when_it_is_told_to(home, bench) -> None:
    server = bench[0].AppServer(home[0], bench[0].free_port())
    server.wait()
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    assert children
    os.kill(server.process.pid, signal.SIGTERM)
    server.process.wait()
    server.signal(signal.SIGTERM)
    assert not any(Path(f"/proc/{child}/cmdline").exists() for child in children)
