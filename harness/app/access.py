"""The owner's token, a file of the home folder that opens the app. Reviewers and other owners are invited.

A token is 256 bits from the system's source of randomness. The owner's stands in `HOME/owner.token`, readable by its
owner alone, so that a bookmark goes on working; delete the file to revoke it.
"""

from __future__ import annotations

import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

from harness.errors import StoreError

FILE = "owner.token"


def new_token() -> str:
    """256 random bits, safe in a URL."""
    return secrets.token_urlsafe(32)


def owner_token(home: Path) -> str:
    """The owner's token, made at the first call.

    Raises StoreError where the file cannot be made or read, or where others may read it.
    """
    file = home.absolute() / FILE
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            _write(file)
        token = file.read_text(encoding="ascii").strip()
        if file.stat().st_mode & 0o077:
            raise StoreError(f"{file} can be read by others", hint=f"chmod 600 {file}, or delete it for a new token")
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{file} cannot be used: {error}", hint="Give another --home") from error
    if len(token) < 43:
        raise StoreError(f"{file} holds no token", hint="Delete it; a new one is made")
    return token


def _write(file: Path) -> None:
    # A name that is taken fails: of two processes one makes the token and both read it.
    part = file.with_name(f"{FILE}.{os.getpid()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as out:
            out.write(new_token() + "\n")
        os.link(part, file)
    finally:
        part.unlink()


def is_owner(home: Path, token: str | None) -> bool:
    """Whether this is the owner's token."""
    return token is not None and hmac.compare_digest(token.encode(), owner_token(home).encode())
