"""A client of the app's WebSocket: runs pages and presses buttons as a browser does, and keeps every byte that came."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

PATIENCE = 60.0


@dataclass(slots=True)
class Tap:
    """A port before the server's that keeps what the server sends, as it stood on the wire, headers included."""

    to: int
    heard: bytearray = field(default_factory=bytearray)
    port: int = 0

    def __post_init__(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        threading.Thread(target=self._listen, args=(listener,), daemon=True).start()

    def _listen(self, listener: socket.socket) -> None:
        while True:
            here, _ = listener.accept()
            there = socket.create_connection(("127.0.0.1", self.to))
            threading.Thread(target=self._pass_on, args=(here, there, False), daemon=True).start()
            threading.Thread(target=self._pass_on, args=(there, here, True), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, keep: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if keep:
                    self.heard += data
                target.sendall(data)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@dataclass(slots=True)
class Client:
    """One tab. `elements` are those of the last run, in order; `messages` every message of the session."""

    socket: Any
    query: str
    elements: list[Any] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    pages: dict[str, str] = field(default_factory=dict)
    """Script hash → title of the pages that the server named."""

    @staticmethod
    def opened(port: int, token: str | None, compression: str | None = None) -> Client:
        """Connect, and run the page that stands first."""
        uri = f"ws://127.0.0.1:{port}/_stcore/stream"
        found = connect(uri, subprotocols=["streamlit"], compression=compression, max_size=None)  # type: ignore[arg-type,list-item]
        client = Client(found, f"token={token}" if token else "")
        client.run()
        return client

    def run(self, widgets: Mapping[str, Any] | None = None, page: str = "", page_name: str = "") -> None:
        """Run the page, with the states of widgets by id: True presses a button, the rest are check boxes and texts."""
        asked = BackMsg()
        asked.rerun_script.query_string = self.query
        asked.rerun_script.page_script_hash = page
        asked.rerun_script.page_name = page_name
        for name, value in (widgets or {}).items():
            state = asked.rerun_script.widget_states.widgets.add(id=name)
            kind = "string_value" if isinstance(value, str) else "bool_value" if value is None else "trigger_value"
            setattr(state, kind, True if value is None else value)
        self.socket.send(asked.SerializeToString())
        self.elements = []
        while True:
            data = self.socket.recv(timeout=PATIENCE)
            self.messages.append(data)
            message = ForwardMsg.FromString(data)
            if message.HasField("navigation"):
                self.pages = {one.page_script_hash: one.page_name for one in message.navigation.app_pages}
            if message.HasField("delta") and message.delta.HasField("new_element"):
                self.elements.append(message.delta.new_element)
            if message.WhichOneof("type") == "script_finished":
                return

    def find(self, kind: str, words: str) -> str:
        """Id of the widget of a kind whose label begins so. Raises LookupError."""
        for one in self.elements:
            if one.WhichOneof("type") == kind and getattr(one, kind).label.startswith(words):
                return str(getattr(one, kind).id)
        raise LookupError(f"no {kind} {words!r} is shown; there are: {self.texts()}")

    def has(self, kind: str, words: str) -> bool:
        """Whether there is such a widget."""
        with suppress(LookupError):
            return bool(self.find(kind, words))
        return False

    def press(self, words: str) -> None:
        """Press a button."""
        self.run({self.find("button", words): True})

    def texts(self) -> list[str]:
        """What the page says: bodies of texts, labels of buttons."""
        found = []
        for one in self.elements:
            kind = one.WhichOneof("type")
            body = getattr(one, kind)
            found += [str(getattr(body, name)) for name in ("body", "label", "message") if getattr(body, name, "")]
        return found
