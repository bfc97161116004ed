"""Which chat template an experiment uses, and the date that it writes."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.config import ChatSpec
from harness.errors import ModelError, SpecError


def pinned(template: str, day: str) -> str:
    """`template` with `day` (YYYY-MM-DD) in place of today's date, which would change prompts over night.

    Raises ModelError where that cannot be done.
    """
    date = datetime.date.fromisoformat(day)
    call = re.compile(r"strftime_now\(\s*(['\"])(.*?)\1\s*\)")
    dated = call.sub(lambda match: json.dumps(date.strftime(match[2])), template)
    if re.search(r"strftime_now\s*\(", dated):
        raise ModelError(
            "the chat template writes today's date in a form that cannot be pinned, so that prompts would change from"
            " day to day",
            hint="Give a chat.template with a date written out",
        )
    return dated


def template_of(tokenizer: Any, chat: ChatSpec, needed: bool) -> str | None:
    """Text of the chat template to use, or None for text mode. Raises ModelError when one is needed and missing."""
    hint = "Give chat.template (Jinja2 text or a path) in the experiment, or a base model that has a chat template"
    if chat.use == "never":
        if needed:
            raise ModelError("messages data needs a chat template, but chat.use is never", hint="Set chat.use to auto")
        return None
    template = _read_template(chat.template) if chat.template is not None else tokenizer.chat_template
    if isinstance(template, Mapping):  # some tokenizers carry several, by name
        template = template.get("default")
    if not template:
        if needed or chat.use == "always":
            what = "messages data needs a chat template" if needed else "chat.use is always"
            raise ModelError(f"{what}, and the tokenizer has none", hint=hint)
        return None
    return str(template)


def _read_template(text: str) -> str:
    if "{{" in text or "{%" in text:
        return text
    try:
        return Path(text).read_text(encoding="utf-8")
    except OSError as error:
        raise SpecError(
            f"{text} is neither Jinja2 text nor a file that can be read ({error.strerror})",
            field="chat.template",
            hint="Mend the path; Jinja2 text contains {{ or {%",
        ) from error
