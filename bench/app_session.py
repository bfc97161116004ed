"""A browser's side of the app without a browser: one Streamlit session over a raw WebSocket, and servers to talk to.

For the benchmarks. A session sends what the front end sends (run the script, press a button, go to a page) and reads
what comes back to the message that says that the script has finished.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT = 60.0


@dataclass
class Screen:
    """What a run of the script sent."""

    texts: list[str] = field(default_factory=list)
    """Bodies of titles, Markdown, HTML, messages, in order."""
    buttons: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Label → (widget id, fragment id)."""
    ids: list[str] = field(default_factory=list)
    """Ids of all widgets."""
    selects: dict[str, str] = field(default_factory=dict)
    """Label → widget id of the lists to choose from."""
    options: list[str] = field(default_factory=list)
    """What those lists offer."""
    exceptions: list[str] = field(default_factory=list)
    pages: dict[str, str] = field(default_factory=dict)
    """Title → hash of the pages that are offered."""
    redirect: str = ""
    """Where a sign-in sends the browser."""
    bytes: int = 0
    seconds: float = 0.0
    """From sending the request to the message that the script has finished."""

    def says(self, text: str) -> bool:
        """Whether a body holds `text`."""
        return any(text in body for body in self.texts)


class AppSession:
    """One session of the app at `url` (ws://…/_stcore/stream), with the `token` of a link.

    `more` is handed to `websockets.sync.client.connect`: an `origin`, an `ssl` context, a `sock`.
    """

    def __init__(self, url: str, token: str, **more: Any) -> None:
        from websockets.sync.client import connect

        self._open = contextlib.ExitStack()
        settings = {"subprotocols": ["streamlit"], "max_size": None, "open_timeout": TIMEOUT, **more}
        self._socket = self._open.enter_context(connect(url, **settings))
        self._query = f"token={token}" if token else ""
        self._page = ""
        self._chosen: dict[str, str] = {}
        self.pages: dict[str, str] = {}

    def run(self, page: str = "", button: tuple[str, str] | None = None) -> Screen:
        """Run the script: anew, on the page with this title, or because a button was pressed."""
        from streamlit.proto.BackMsg_pb2 import BackMsg

        message = BackMsg()
        request = message.rerun_script
        request.query_string = self._query
        request.page_script_hash = self._page = self.pages[page] if page else self._page
        if button is not None:
            state = request.widget_states.widgets.add()
            state.id, request.fragment_id = button
            state.trigger_value = True
        for widget, option in self._chosen.items():
            state = request.widget_states.widgets.add()
            state.id, state.string_value = widget, option
        began = time.perf_counter()
        self._socket.send(message.SerializeToString())
        screen = self._read()
        screen.seconds = time.perf_counter() - began
        return screen

    def choose(self, widget: str, option: str) -> None:
        """Choose an option of a list by its words, from the next run on."""
        self._chosen[widget] = option

    def __enter__(self) -> AppSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the session; a server that is gone is no error."""
        with contextlib.suppress(Exception):
            self._open.close()

    def _read(self) -> Screen:
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

        screen = Screen()
        while True:
            data = self._socket.recv(timeout=TIMEOUT)
            message = ForwardMsg.FromString(data)  # type: ignore[arg-type]
            screen.bytes += len(data)
            kind = message.WhichOneof("type")
            if kind == "script_finished":
                early = ForwardMsg.ScriptFinishedStatus.Value("FINISHED_EARLY_FOR_RERUN")
                if message.script_finished != early:
                    return screen
            elif kind == "auth_redirect":
                screen.redirect = message.auth_redirect.url
            elif kind == "navigation":
                screen.pages = {page.page_name: page.page_script_hash for page in message.navigation.app_pages}
                self.pages = screen.pages
                self._page = message.navigation.page_script_hash or self._page
            elif kind == "delta" and message.delta.WhichOneof("type") == "new_element":
                _note(screen, message.delta.new_element, message.delta.fragment_id)


def _note(screen: Screen, element: Any, fragment: str) -> None:
    inner = getattr(element, element.WhichOneof("type"))
    kind = element.WhichOneof("type")
    if kind == "exception":
        screen.exceptions.append(inner.message)
    if kind == "selectbox":
        screen.selects[inner.label] = inner.id
        screen.options += inner.options
    if getattr(inner, "body", ""):
        screen.texts.append(inner.body)
    if getattr(inner, "id", ""):
        screen.ids.append(inner.id)
        if kind == "button":
            screen.buttons[inner.label] = (inner.id, fragment)


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class AppServer:
    """`harness app` (or other `words`) as a process group of its own, that can be killed as one."""

    def __init__(self, home: Path, port: int, *words: str) -> None:
        self.port = port
        command = [sys.executable, "-m", "harness", *(words or ("app", "--home", str(home), "--no-browser"))]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]])}
        self._sessions: list[AppSession] = []
        self._file = home / "server.log"
        self._log = self._file.open("ab")
        self.process = subprocess.Popen(
            [*command, "--port", str(port)],
            env=environment,
            cwd=home,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    @property
    def url(self) -> str:
        """Where its sessions are opened."""
        return f"ws://127.0.0.1:{self.port}/_stcore/stream"

    def session(self, token: str, address: str = "127.0.0.1", **more: Any) -> AppSession:
        """A session, which ends with the server."""
        self._sessions.append(AppSession(f"ws://{address}:{self.port}/_stcore/stream", token, **more))
        return self._sessions[-1]

    def cpu_seconds(self) -> float:
        """Seconds of processor time that the server has taken so far."""
        import psutil

        mine = psutil.Process(self.process.pid)
        times = [one.cpu_times() for one in (mine, *mine.children(recursive=True))]
        return float(sum(one.user + one.system for one in times))

    def wait(self) -> None:
        """Until it answers; RuntimeError when it ends or does not within a minute."""
        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/_stcore/health", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        code = self.process.poll()
        how = "does not answer" if code is None else f"ended with {code}"
        said = self._file.read_text(errors="replace").strip().splitlines()[-1:] or ["nothing"]
        raise RuntimeError(f"the app's server {how}; it said: {said[0]}")

    def signal(self, number: int) -> None:
        """End the sessions, send a signal to the server and to what it started, and wait for its end."""
        for session in self._sessions:
            session.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)
        self.process.wait()
        self._log.close()
        # What it had started may live a moment longer and hold the port, which the next server wants.
        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end and _listens(self.port):
            time.sleep(0.01)
