"""A waiver: somebody takes responsibility, for a while, for a rule that a candidate does not hold."""

from __future__ import annotations

import datetime
from typing import Annotated

from pydantic import Field, field_validator

from harness.config.base import Spec

Words = Annotated[str, Field(pattern=r"\S")]


class WaiverSpec(Spec):
    """One rule that does not decide until a date, by whom and why."""

    rule: str
    """Name of a critical rule, as reports show it."""
    owner: Words
    """Who answers for it."""
    reason: Words
    """Why the candidate may be released all the same."""
    expires: str
    """Last day on which it holds, YYYY-MM-DD (UTC), at most 90 days ahead."""

    @field_validator("expires")
    @classmethod
    def _date(cls, value: str) -> str:
        try:
            if datetime.date.fromisoformat(value).isoformat() == value:
                return value
        except ValueError:
            pass
        raise ValueError(f"{value!r} is no date; write YYYY-MM-DD")
