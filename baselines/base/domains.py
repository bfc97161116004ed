"""Conversations of other trades for pretraining the base model: other words, other labels, other note forms.

Uses the engine of `tasks/visit_notes/conversations.py` with its own lexicons (`trades.py`). Every `Form` draws its
labels, its order, its layout and its instruction anew, so a model cannot learn one form by heart: it has to follow the
form that it sees. `documents` packs several conversations of one trade and form.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any


def _load(name: str, path: Path) -> ModuleType:
    """Load a module from a path, once."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


HERE = Path(__file__).resolve().parent
talk = _load("visit_notes_conversations", HERE.parents[1] / "tasks" / "visit_notes" / "conversations.py")
trades = _load("base_trades", HERE / "trades.py")
Act, Check, Value = talk.Act, talk.Check, talk.Value
SEEN, HELD_OUT = trades.SEEN, trades.HELD_OUT


@dataclass(frozen=True, slots=True)
class Form:
    """How notes of one office look: layout, (kind, label) in order, instruction and heading."""

    layout: str
    labels: tuple[tuple[str, str], ...]
    instruction: str
    heading: str
    instruction_first: bool


@dataclass(frozen=True, slots=True)
class Document:
    """A prompt, its note, and the values that the note must hold."""

    prompt: str
    note: str
    values: tuple[str, ...]


LAYOUTS = (
    "lines", "lines", "lines", "bullets", "equals", "dashes", "brackets", "upper", "inline", "pipes", "prose", "stars",
)  # fmt: skip
VERBS = ("Write", "Fill in", "Make", "Draft", "Complete", "Give", "Put down")
FRAMES = (
    "{verb} the {title} for this talk.",
    "{verb} the {title}.",
    "{verb} a short {title} from the conversation.",
    "Read the conversation and {verb_low} the {title}.",
    "Summarise the conversation as a {title}.",
    "{verb} the {title}: only what was said, nothing else.",
)
HEADINGS = ("{title}:", "{title}:", "Entry:", "Summary:", "Result:", "Record:", "Output:", "Answer:")
SENTENCES: dict[str, tuple[str, ...]] = {
    "who": ("The {label} is {v}.", "{label}: {v} called."),
    "*": ("The {label} is {v}.", "{label}: {v}.", "For {label} we have {v}.", "{label} was given as {v}."),
}


@dataclass(frozen=True, slots=True)
class Novelty:
    """How much of a document is made of words that no trade has, so that it can only be copied."""

    words: tuple[str, ...]
    labels: float = 0.35
    lexicon: float = 0.4
    speakers: float = 0.25

    def some(self, rng: Random, given: tuple[str, ...]) -> tuple[str, ...]:
        """Ordinary or invented words in place of the given ones, or those."""
        if rng.random() >= self.lexicon:
            return given
        return tuple(rng.choice(self.words) if rng.random() < 0.8 else talk.word(rng, 2) for _ in given)

    def vary(self, rng: Random, trade: Any) -> Any:
        """The trade with other words in some of its lists."""
        changed = replace(
            trade,
            qualities=self.some(rng, trade.qualities),
            troubles=self.some(rng, trade.troubles),
            places=self.some(rng, trade.places),
            checks=tuple(dict.fromkeys(self.some(rng, trade.checks))),
        )
        if rng.random() < self.speakers:
            changed = replace(changed, speakers=((self.label(rng)[:6], self.label(rng)),))
        return changed

    def label(self, rng: Random) -> str:
        """A label that no form has had."""
        one = rng.choice(self.words) if rng.random() < 0.7 else talk.word(rng, 2)
        return one.capitalize() if rng.random() < 0.8 else f"{one.capitalize()} {rng.choice((2, 3, 'no', 'of', 'on'))}"


WORD = re.compile(r"\b[a-z]{3,10}\b")
CLINIC = re.compile(
    r"patient|doctor|medic|clinic|symptom|dose|complain|pain|den(y|ies)|admit|allerg|review|lasting|sign"
)


def novel_words(texts: Iterable[str]) -> tuple[str, ...]:
    """Words of some texts, without those of the clinic."""
    found = sorted({word for text in texts for word in WORD.findall(text) if not CLINIC.search(word)})
    return tuple(found)


def form(rng: Random, trade: Any, novelty: Novelty | None = None) -> Form:
    """A new note form for the trade."""
    kinds = list(trades.KINDS)
    keep = [kind for kind in kinds if kind not in trade.skip and (kind in ("who", "issue") or rng.random() < 0.9)]
    if rng.random() < 0.6:
        rng.shuffle(keep)
    labels, used = [], set()
    for kind in keep:
        label = rng.choice([*trade.labels.get(kind, ()), *trades.LABELS[kind]])
        if rng.random() < 0.08:
            label = talk.word(rng, 2).capitalize()
        if novelty is not None and rng.random() < novelty.labels:
            label = novelty.label(rng)
        while label.lower() in used:
            label = talk.word(rng, 2).capitalize()
        used.add(label.lower())
        labels.append((kind, label))
    title, verb = rng.choice(trade.titles), rng.choice(VERBS)
    instruction = rng.choice(FRAMES).format(title=title, verb=verb, verb_low=verb[0].lower() + verb[1:])
    if rng.random() < 0.12:
        instruction += " Use: " + ", ".join(label for _, label in labels) + "."
    heading = rng.choice(HEADINGS).format(title=title.split()[-1].capitalize())
    return Form(rng.choice(LAYOUTS), tuple(labels), instruction, heading, rng.random() < 0.8)


def write(shape: Form, facts: tuple[Any, ...], style: Random) -> tuple[str, tuple[str, ...]]:
    """The note in that form, and the values in it."""
    said: dict[str, list[str]] = {}
    for fact in facts:
        said.setdefault(fact.slot, []).append(fact.value)
    rows = [(kind, label, "; ".join(said[kind])) for kind, label in shape.labels if kind in said]
    values = tuple(value for _, _, value in rows)
    if shape.layout == "prose":
        lines = []
        for kind, label, value in rows:
            patterns = SENTENCES["*"] if kind not in SENTENCES else SENTENCES[kind] + SENTENCES["*"]
            lines.append(patterns[style.randrange(len(patterns))].format(label=label, v=value))
        return " ".join(line[0].upper() + line[1:] for line in lines), values
    if shape.layout == "inline":
        return "; ".join(f"{label} {value.replace('; ', ', ')}" for _, label, value in rows), tuple(
            value.replace("; ", ", ") for value in values
        )
    if shape.layout == "pipes":
        return " | ".join(f"{label}: {value}" for _, label, value in rows), values
    pattern = {
        "lines": "{label}: {v}", "bullets": "- {label}: {v}", "equals": "{label} = {v}", "dashes": "{label} - {v}",
        "brackets": "[{label}] {v}", "upper": "{label}: {v}", "stars": "* {label}: {v}",
    }[shape.layout]  # fmt: skip
    upper = shape.layout == "upper"
    return "\n".join(pattern.format(label=label.upper() if upper else label, v=v) for _, label, v in rows), values


def _issue(trade: Any) -> Any:
    def make(rng: Random) -> Any:
        what = f"{rng.choice(trade.qualities)} {rng.choice(trade.troubles)}"
        place = f"{rng.choice(trades.SIDES)} {rng.choice(trade.places)}"
        preposition = rng.choice(("in", "at", "near", "on", "by", "behind", "under"))
        return Value(f"{what} {preposition} {{my}} {place}", f"{what} {preposition} {place}")

    return make


def _product(trade: Any, none: float = 0.0) -> Any:
    def make(rng: Random) -> Any:
        if rng.random() < none:
            return Value("none that I know of", "none")
        name = talk.product(rng, trade.endings)
        return Value(name, name)

    return make


def _amount(trade: Any) -> Any:
    def make(rng: Random) -> Any:
        number = rng.choice((rng.randint(2, 99), rng.randrange(10, 100, 5), rng.randrange(100, 900, 50)))
        spoken, written = rng.choice(trade.units)
        often = rng.choice(trades.RATES)
        if rng.random() < 0.35:
            every, unit = rng.randint(2, 12), rng.choice(("hours", "days", "weeks", "metres"))
            often_said, often = f"every {talk.said(rng, every)} {unit}", f"every {every} {unit}"
        else:
            often_said = often
        return Value(f"{talk.said(rng, number)} {spoken} {often_said}", f"{number} {written} {often}")

    return make


def _gauge(trade: Any) -> Any:
    low = trade.gauge_low

    def make(rng: Random) -> Any:
        return talk.decimal(rng, low, low + 30)

    return make


def _ratio(rng: Random) -> Any:
    a, b = rng.randint(20, 320), rng.randint(20, 190)
    join, mark = rng.choice((("by", "x"), ("over", "/"), ("to", "-"), ("out of", "/")))
    return Value(f"{a} {join} {b}", f"{a}{mark}{b}")


def _code(rng: Random) -> Any:
    letters = "".join(rng.choice("ABCDEFGHKLMNPRSTUVXZ") for _ in range(2))
    code = f"{letters}-{rng.randint(10, 9999)}"
    return Value(code, code)


def _act(kind: str, make: Any, trade: Any, rng: Random) -> Any:
    phrases = trade.phrases.get(kind) or trades.PHRASES[kind]
    fill = {"trade_item": rng.choice(trade.items), "gauge": rng.choice(trade.gauges), "ratio": rng.choice(trade.ratios)}

    def filled(texts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(text.format(v="{v}", **fill) for text in texts)

    return Act(kind, make, filled(phrases.full), filled(phrases.ask), filled(phrases.short), by_host=phrases.by_host)


def scene(rng: Random, trade: Any, host: str, guest: str) -> Any:
    """One conversation of the trade, of any difficulty."""
    makers = {
        "who": talk.named, "issue": _issue(trade), "since": talk.duration, "issue2": _issue(trade),
        "since2": talk.duration, "avoid": _product(trade, 0.25), "gauge": _gauge(trade), "ratio": _ratio, "code": _code,
        "finding": _issue(trade), "item": _product(trade), "amount": _amount(trade), "next": talk.appointment,
        "helper": talk.named,
    }  # fmt: skip

    def act(kind: str) -> Any:
        return _act(kind, makers[kind], trade, rng)

    head = [act("who"), act("issue")]
    if rng.random() < 0.75:
        head.append(act("since"))
    if rng.random() < 0.25:
        head += [act("issue2"), act("since2")]
    middle: list[Any] = [act(kind) for kind in ("avoid", "code", "helper") if rng.random() < 0.25]
    if rng.random() < 0.6:
        number = rng.choice((1, 2, 2))
        items = tuple(f"{x} {rng.choice(trades.WHEN)}".strip() for x in rng.sample(trade.checks, number))
        middle.append(Check("present", "absent", items, tuple(rng.random() < 0.5 for _ in items)))
    rng.shuffle(middle)
    tail = [act(kind) for kind in rng.sample(("gauge", "ratio", "finding"), rng.choice((0, 1, 1, 2)))]
    tail += [act("item"), act("amount")] if rng.random() < 0.7 else []
    tail += [act("next")] if rng.random() < 0.8 else []
    return talk.Scene(
        host=host, guest=guest, items=(*head, *middle, *tail), phrases=trade.talk,
        corrections=rng.choice((0, 0, 1, 1, 2)), chatter=rng.choice((0, 0, 1, 1, 2)),
        interruptions=rng.choice((0, 0, 1)), late_correction=rng.random() < 0.15,
    )  # fmt: skip


def documents(rng: Random, trade: Any, number: int, novelty: Novelty | None = None) -> list[Document]:
    """Several conversations of the trade with their notes, all in one new form."""
    if novelty is not None:
        trade = novelty.vary(rng, trade)
    shape = form(rng, trade, novelty)
    host, guest = rng.choice(trade.speakers)
    style_seed = rng.getrandbits(32)
    made = []
    for _ in range(number):
        talked = talk.converse(scene(rng, trade, host, guest), rng)
        note, values = write(shape, talked.facts, Random(style_seed))
        if shape.instruction_first:
            prompt = f"{shape.instruction}\n\n{talked.text}\n\n{shape.heading}\n"
        else:
            prompt = f"{talked.text}\n\n{shape.instruction}\n{shape.heading}\n"
        made.append(Document(prompt, note, values))
    return made


def drill(rng: Random) -> list[tuple[str, float]]:
    """A piece to practise copying on: (text, weight of its loss); what repeats has weight 1."""
    fillers = (
        talk.person, lambda r: talk.product(r, ("ex", "on", "ia", "um")), lambda r: str(r.randint(2, 999)),
        lambda r: talk.word(r, 2), lambda r: talk.duration(r).written, lambda r: _code(r).written,
        lambda r: r.choice(trades.SIDES), lambda r: r.choice(r.choice(SEEN).places),
    )  # fmt: skip
    number = rng.randint(3, 8)
    if rng.random() < 0.4:
        text = rng.choice((" ", ", ", "; ")).join(rng.choice(fillers)(rng) for _ in range(number))
        return [(text + "\n", 0.1), *[(text + "\n", 1.0)] * rng.randint(1, 3)]
    names = [rng.choice(trades.LABELS[kind]) for kind in rng.sample(trades.KINDS, number)]
    mark = rng.choice((": ", " = ", " - ", " is "))
    rows = [f"{name}{mark}{rng.choice(fillers)(rng)}\n" for name in names]
    again = [row for _ in range(rng.randint(1, 2)) for row in rng.sample(rows, number)]
    return [("".join(rows), 0.1), ("".join(again), 1.0)]
