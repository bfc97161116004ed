"""Synthetic two-person conversations with a known list of facts.

The engine knows nothing about any trade. A `Scene` says who talks, which facts come up and with which phrases;
`converse` turns it into speech and returns the facts in the order in which they were settled. All that is random comes
from the generator that is handed in, so equal seeds give equal text. Fillers (names, invented product words, numbers)
are composed from syllables or drawn from wide ranges, so that nobody can learn them by heart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

ONSETS = [
    "b",
    "br",
    "c",
    "d",
    "dr",
    "f",
    "fl",
    "g",
    "gr",
    "h",
    "j",
    "k",
    "kl",
    "l",
    "m",
    "n",
    "p",
    "pr",
    "r",
    "s",
    "st",
    "t",
    "th",
    "tr",
    "v",
    "w",
    "z",
]
VOWELS = ["a", "e", "i", "o", "u", "a", "e", "i", "o", "ai", "ea", "oo"]
CODAS = ["", "", "", "n", "r", "l", "s", "m", "t", "k", "nd", "x"]
UNITS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
]
UNITS += ["seventeen", "eighteen", "nineteen"]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


@dataclass(frozen=True, slots=True)
class Value:
    """One filler: as it is said (`{my}` stands for my/your/the) and as the note writes it."""

    spoken: str
    written: str


Maker = Callable[[Random], Value]


@dataclass(frozen=True, slots=True)
class Act:
    """One fact and the phrases that bring it up; every phrase of `short` and `full` holds `{v}` once.

    `short` answers a question from `ask`; `full` stands alone. With `by_host` the host says it and nobody asks.
    """

    key: str
    make: Maker
    full: tuple[str, ...]
    ask: tuple[str, ...] = ()
    short: tuple[str, ...] = ()
    by_host: bool = False
    echo: bool = True


@dataclass(frozen=True, slots=True)
class Check:
    """A run of yes-or-no questions: `items` are asked in order, `yes` says which are affirmed."""

    yes_key: str
    no_key: str
    items: tuple[str, ...]
    yes: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Phrases:
    """What people of one trade say beside the facts."""

    greetings: tuple[str, ...]
    replies: tuple[str, ...]
    chatter: tuple[tuple[str, str], ...]
    closings: tuple[tuple[str, str], ...]
    acknowledgements: tuple[str, ...] = ("Okay.", "All right.", "Sure.", "Fine.", "Good.", "Understood.", "Yes, okay.")


@dataclass(frozen=True, slots=True)
class Scene:
    """One conversation to be held: speakers, facts in order, phrases and how disturbed it is."""

    host: str
    guest: str
    items: tuple[Act | Check, ...]
    phrases: Phrases
    corrections: int = 0
    chatter: int = 0
    interruptions: int = 0
    late_correction: bool = False
    greeting: float = 0.8
    closing: float = 0.5


@dataclass(frozen=True, slots=True)
class Fact:
    """A true statement: the slot it belongs to and its value as the note writes it."""

    slot: str
    value: str


@dataclass(frozen=True, slots=True)
class Talk:
    """A finished conversation: its lines, its facts, and values that were said but taken back."""

    text: str
    facts: tuple[Fact, ...]
    retracted: tuple[Fact, ...]


# --- fillers ---------------------------------------------------------------------------------------------------------


def word(rng: Random, syllables: int) -> str:
    """An invented word of so many syllables, in lower case."""
    return "".join(rng.choice(ONSETS) + rng.choice(VOWELS) + (rng.choice(CODAS)) for _ in range(syllables))


def person(rng: Random) -> str:
    """An invented first and last name."""
    return f"{word(rng, rng.choice((1, 2, 2))).capitalize()} {word(rng, 2).capitalize()}"


def product(rng: Random, endings: Sequence[str]) -> str:
    """An invented product word with one of the endings."""
    return (word(rng, rng.choice((1, 2))) + rng.choice(endings)).capitalize()


def number_words(number: int) -> str:
    """A whole number below one thousand in English words."""
    if number < 20:
        return UNITS[number]
    if number < 100:
        tens, unit = divmod(number, 10)
        return TENS[tens - 2] + (f"-{UNITS[unit]}" if unit else "")
    hundreds, rest = divmod(number, 100)
    return f"{UNITS[hundreds]} hundred" + (f" and {number_words(rest)}" if rest else "")


def said(rng: Random, number: int) -> str:
    """A whole number as somebody says it: mostly in words."""
    return number_words(number) if number < 100 and rng.random() < 0.7 else str(number)


def plural(number: int, unit: str) -> str:
    """The unit for that many of it."""
    return unit if number == 1 else unit + "s"


def duration(rng: Random) -> Value:
    """A span of time, such as "five days" and "5 days"."""
    unit = rng.choice(("day", "day", "week", "week", "month", "hour", "year"))
    number = rng.randint(2, 23 if unit == "hour" else 19)
    return Value(f"{said(rng, number)} {plural(number, unit)}", f"{number} {plural(number, unit)}")


def appointment(rng: Random) -> Value:
    """When to meet again: after a span, or on a day at an hour."""
    if rng.random() < 0.5:
        unit, number = rng.choice(("day", "week", "month")), rng.randint(2, 19)
        return Value(f"in {said(rng, number)} {plural(number, unit)}", f"in {number} {plural(number, unit)}")
    day = rng.choice(["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"])
    hour = rng.randint(7, 19)
    return Value(f"on {day} at {said(rng, hour)}", f"on {day} at {hour}")


def decimal(rng: Random, low: int, high: int) -> Value:
    """A number with one decimal, such as "thirty-eight point four" and "38.4"."""
    whole, tenth = rng.randint(low, high), rng.randint(0, 9)
    spoken = f"{number_words(whole)} point {UNITS[tenth]}" if rng.random() < 0.6 and whole < 100 else f"{whole}.{tenth}"
    return Value(spoken, f"{whole}.{tenth}")


def named(rng: Random) -> Value:
    """A person's name as a value."""
    name = person(rng)
    return Value(name, name)


# --- talking ---------------------------------------------------------------------------------------------------------

FIXES = (
    "{w}, no, {v}",
    "{w}, sorry, {v}",
    "{w}, wait, {v}",
    "{w}, no, I mean {v}",
    "{w}, or rather {v}",
    "{w}, hang on, make that {v}",
    "{w}, hmm, actually {v}",
)
LATE_FIXES = (
    "Sorry, I said {w} before, but it is {v}.",
    "One thing: not {w}, I meant {v}.",
    "Actually, not {w}. It should be {v}.",
    "Let me correct myself: {v}, not {w}.",
)
HALTS = (
    ("Well, it is,", "Take your time."),
    ("So, um,", "Sorry, one moment. Go on."),
    ("Let me think,", "No hurry."),
    ("I was going to say,", "Excuse me, the phone. Yes?"),
)
ECHOES = ("Okay, {v}.", "So {v}.", "Right, {v}.", "I see, {v}.", "Got it, {v}.")
NO = ("No.", "Nope.", "None.", "Not at all.", "No, nothing like that.", "No, never.")
YES = ("Yes.", "Yes, a bit.", "I do, yes.", "Yeah, some.", "Yes, now and then.", "Afraid so.")
ANY = ("Any {x}?", "And {x}?", "Is there any {x}?", "Have you noticed {x}?", "What about {x}?")


@dataclass(slots=True)
class _Stage:
    """The conversation while it is being held."""

    scene: Scene
    rng: Random
    lines: list[tuple[str, str]] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    retracted: list[Fact] = field(default_factory=list)

    def say(self, by_host: bool, text: str) -> None:
        """Add speech; the same speaker going on stays in one line."""
        speaker = self.scene.host if by_host else self.scene.guest
        if self.lines and self.lines[-1][0] == speaker:
            self.lines[-1] = (speaker, f"{self.lines[-1][1]} {text}")
        else:
            self.lines.append((speaker, text))


def voice(value: Value, my: str) -> str:
    """The value as one speaker says it."""
    return value.spoken.replace("{my}", my)


def different(make: Maker, value: Value, rng: Random) -> Value:
    """Another value from the same maker."""
    for _ in range(100):
        other = make(rng)
        if other.written != value.written:
            return other
    raise ValueError("the maker knows only one value")


def _settle(stage: _Stage, act: Act, correct: bool) -> tuple[str, Value]:
    """Draw the act's value, note the fact, and return how it is said."""
    value = act.make(stage.rng)
    my = "the" if act.by_host else "my"
    spoken = voice(value, my)
    if correct:
        wrong = different(act.make, value, stage.rng)
        stage.retracted.append(Fact(act.key, wrong.written))
        spoken = stage.rng.choice(FIXES).format(w=voice(wrong, my), v=spoken)
    stage.facts.append(Fact(act.key, value.written))
    return spoken, value


def _perform_act(stage: _Stage, act: Act, correct: bool, joined: bool, halt: bool) -> None:
    """Bring up one fact; `joined` means that the speaker goes on without being asked."""
    rng = stage.rng
    spoken, value = _settle(stage, act, correct)
    if act.by_host:
        stage.say(True, rng.choice(act.full).format(v=spoken))
        return
    asked = bool(act.ask) and not joined
    if asked:
        stage.say(True, rng.choice(act.ask))
    if halt:
        start, interruption = rng.choice(HALTS)
        stage.say(False, start)
        stage.say(True, interruption)
    stage.say(False, rng.choice(act.short if asked and act.short and rng.random() < 0.6 else act.full).format(v=spoken))
    if act.echo and not joined and rng.random() < 0.15:
        stage.say(True, rng.choice(ECHOES).format(v=voice(value, "your")))


def _perform_check(stage: _Stage, check: Check) -> None:
    """Ask the yes-or-no questions, singly or two at a time."""
    rng, index = stage.rng, 0
    while index < len(check.items):
        x, yes_x = check.items[index], check.yes[index]
        stage.facts.append(Fact(check.yes_key if yes_x else check.no_key, x))
        if index + 1 < len(check.items) and rng.random() < 0.5:
            y, yes_y = check.items[index + 1], check.yes[index + 1]
            stage.facts.append(Fact(check.yes_key if yes_y else check.no_key, y))
            stage.say(True, rng.choice(("Any {x} or {y}?", "{y} or {x} at all?", "And {x}, or {y}?")).format(x=x, y=y))
            stage.say(False, _answer_two(rng, (x, yes_x), (y, yes_y)))
            index += 2
        else:
            stage.say(True, rng.choice(ANY).format(x=x))
            stage.say(False, rng.choice(YES if yes_x else NO))
            index += 1


def _answer_two(rng: Random, first: tuple[str, bool], second: tuple[str, bool]) -> str:
    """One answer to two questions at once."""
    (x, yes_x), (y, yes_y) = first, second
    if yes_x and yes_y:
        return rng.choice(("Yes, both.", "Both, I am afraid.", f"Some {x} and {y}, yes."))
    if not yes_x and not yes_y:
        return rng.choice(("No, neither.", "Neither of them.", f"No {x}, no {y}."))
    good, bad = (x, y) if yes_x else (y, x)
    return rng.choice((f"No {bad}, but {good}, yes.", f"Yes to {good}, no {bad}.", f"Some {good}. No {bad}."))


def _amend_late(stage: _Stage, candidates: Sequence[tuple[int, Act]]) -> None:
    """Take back one of the guest's values, mentioned above, in favour of a new one."""
    at, act = stage.rng.choice(candidates)
    old = stage.facts[at]
    new = different(act.make, Value("", old.value), stage.rng)
    said_before = _written_as_said(old.value)
    stage.facts[at] = Fact(act.key, new.written)
    stage.retracted.append(old)
    stage.say(False, stage.rng.choice(LATE_FIXES).format(w=said_before, v=voice(new, "my")))


def _written_as_said(written: str) -> str:
    """A written span with its digits put back into words."""
    return " ".join(number_words(int(part)) if part.isdigit() else part for part in written.split())


def _chat(stage: _Stage) -> None:
    """Small talk, with names and numbers that are no facts."""
    opening, answer = stage.rng.choice(stage.scene.phrases.chatter)
    fill = {"name": person(stage.rng), "n": said(stage.rng, stage.rng.randint(2, 60))}
    stage.say(True, opening.format(**fill))
    stage.say(False, answer.format(**fill))


def converse(scene: Scene, rng: Random) -> Talk:
    """Hold the conversation and return its text and facts."""
    stage = _Stage(scene, rng)
    acts = [i for i, item in enumerate(scene.items) if isinstance(item, Act)]
    corrected = set(rng.sample(acts, min(scene.corrections, len(acts))))
    halted = set(rng.sample(acts, min(scene.interruptions, len(acts))))
    chats = set(rng.sample(range(len(scene.items)), min(scene.chatter, len(scene.items))))
    if rng.random() < scene.greeting:
        stage.say(True, rng.choice(scene.phrases.greetings))
        if rng.random() < 0.5:
            stage.say(False, rng.choice(scene.phrases.replies))
    amendable: list[tuple[int, Act]] = []
    previous: Act | Check | None = None
    joined = False
    for index, item in enumerate(scene.items):
        if index in chats:
            _chat(stage)
        if isinstance(item, Check):
            _perform_check(stage, item)
            joined = False
        else:
            continues = isinstance(previous, Act) and previous.by_host == item.by_host and index not in chats
            if item.by_host and continues and rng.random() < 0.4:
                stage.say(False, rng.choice(scene.phrases.acknowledgements))
            joined = continues and not joined and rng.random() < 0.35 and index not in halted
            _perform_act(stage, item, index in corrected, joined, index in halted and not item.by_host)
            if not item.by_host and item.make is duration:
                amendable.append((len(stage.facts) - 1, item))
        previous = item
        if scene.late_correction and amendable and index == max(acts[0], len(scene.items) // 2):
            _amend_late(stage, amendable)
            amendable = []
    if rng.random() < scene.closing:
        opening, answer = rng.choice(scene.phrases.closings)
        stage.say(True, opening)
        stage.say(False, answer)
    text = "\n".join(f"{speaker}: {speech}" for speaker, speech in stage.lines)
    return Talk(text, tuple(stage.facts), tuple(stage.retracted))
