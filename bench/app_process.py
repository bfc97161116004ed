"""`harness app` as a process of its own, for scripts and tests that look at it from outside."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
"""What a Chromium needs as root in a container, and what keeps it from asking others than the app."""
PATIENCE = 120.0


def browser() -> str | None:
    """Path of a Chromium, where there is one."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass(slots=True)
class App:
    """A running server."""

    process: subprocess.Popen[str]
    home: Path
    port: int
    link: str
    """The owner's, as it was printed."""

    @property
    def address(self) -> str:
        """Without a token."""
        return f"http://127.0.0.1:{self.port}"

    def url(self, token: str) -> str:
        """The link of a token."""
        return f"{self.address}/?token={token}"

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End the server and what it started, without a warning."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


def start(home: Path, port: int | None = None, environment: Mapping[str, str] | None = None) -> App:
    """Start `harness app` over a home folder and wait for the link that it prints.

    Raises RuntimeError when it ends, or prints nothing for two minutes.
    """
    port = port or free_port()
    command = [sys.executable, "-m", "harness", "app", "--home", str(home), "--port", str(port), "--no-browser"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **(environment or {})},
        start_new_session=True,
    )
    assert process.stdout is not None
    end, printed = time.monotonic() + PATIENCE, b""
    while time.monotonic() < end and process.poll() is None:
        if select.select([process.stdout], [], [], 1.0)[0]:
            printed += os.read(process.stdout.fileno(), 65536)  # readline would leave the rest where select is blind
        if found := re.search(r"http\S+token=\S+(?=\n)", printed.decode()):
            return App(process, home, port, found.group())
    App(process, home, port, "").kill()
    raise RuntimeError("`harness app` did not start")
