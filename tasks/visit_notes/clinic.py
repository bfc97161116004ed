"""The clinic: what doctors and patients of the synthetic task say, and the one form that its notes have.

All people, medicines and findings are invented. Loaded by `build.py` together with the engine `conversations.py`.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from random import Random
from types import ModuleType


def _sibling(name: str) -> ModuleType:
    """Load a module that lies beside this file, once."""
    full = f"visit_notes_{name}"
    if full not in sys.modules:
        spec = importlib.util.spec_from_file_location(full, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[full] = module
        spec.loader.exec_module(module)
    return sys.modules[full]


talk = _sibling("conversations")
Act, Check, Value = talk.Act, talk.Check, talk.Value

LABELS = (
    "Patient", "Complaint", "Lasting", "Complaint 2", "Lasting 2", "Admits", "Denies", "Allergy",
    "Temp", "BP", "Sign", "Rx", "Dose", "Review",
)  # fmt: skip
"""The note's labels in the order of its lines; a line is left out when nothing of its kind came up."""

QUALITIES = [
    "dull",
    "sharp",
    "burning",
    "mild",
    "constant",
    "pulling",
    "sudden",
    "deep",
    "faint",
    "itchy",
    "shooting",
    "raw",
    "hot",
    "stinging",
    "severe",
    "pressing",
    "heavy",
    "short",
    "slow",
    "tight",
    "hard",
    "light",
    "cold",
    "bad",
]
TROUBLES = [
    "pain",
    "ache",
    "rash",
    "cramp",
    "itching",
    "swelling",
    "stiffness",
    "weakness",
    "lump",
    "twitch",
    "sting",
    "spasm",
]
SITES = [
    "knee",
    "shoulder",
    "ankle",
    "wrist",
    "elbow",
    "hip",
    "calf",
    "thigh",
    "ear",
    "eye",
    "cheek",
    "jaw",
    "foot",
    "heel",
    "hand",
    "thumb",
    "forearm",
    "shin",
    "rib",
    "palm",
    "toe",
    "arm",
    "leg",
    "lung",
    "breast",
    "temple",
    "armpit",
]
SIDES = ("left", "right")
SYMPTOMS = [
    "fever",
    "cough",
    "nausea",
    "headache",
    "chills",
    "sweating",
    "thirst",
    "tremor",
    "fainting",
    "vomiting",
    "fatigue",
    "sneezing",
    "wheezing",
    "heartburn",
    "dizziness",
    "bleeding",
]
TIMES = ("at night", "at rest", "at work", "after meals", "", "", "", "", "", "")
SIGNS = ["redness", "swelling", "warmth", "bruising", "crackles", "scaling", "discharge", "fluid", "spots"]
ENDINGS = ("ol", "in", "ax", "ide", "an", "ine", "um", "al", "ozole", "ium", "ast", "or")
FREQUENCIES = ("once a day", "twice a day", "each morning", "at night", "every other day", "before meals", "as needed")


def complaint(rng: Random) -> object:
    """What hurts, how and where."""
    what = f"{rng.choice(QUALITIES)} {rng.choice(TROUBLES)}"
    place = f"{rng.choice(SIDES)} {rng.choice(SITES)}"
    preposition = rng.choice(("in", "around", "near", "behind"))
    return Value(f"{what} {preposition} {{my}} {place}", f"{what} {preposition} {place}")


def sign(rng: Random) -> object:
    """What the doctor sees or hears."""
    what, place = rng.choice(SIGNS), f"{rng.choice(SIDES)} {rng.choice(SITES)}"
    preposition = rng.choice(("over", "around", "on", "below"))
    return Value(f"{what} {preposition} {{my}} {place}", f"{what} {preposition} {place}")


def medicine(rng: Random) -> object:
    """An invented medicine."""
    name = talk.product(rng, ENDINGS)
    return Value(name, name)


def allergy(rng: Random) -> object:
    """An invented substance, or none."""
    if rng.random() < 0.3:
        return Value("none that I know of", "none")
    name = talk.product(rng, ENDINGS)
    return Value(name, name)


def dose(rng: Random) -> object:
    """An amount and how often, such as "40 mg twice a day"."""
    amount = rng.choice((rng.randint(2, 99), rng.randrange(10, 100, 5), rng.randrange(100, 900, 50)))
    spoken, written = rng.choice(
        (("milligrams", "mg"), ("milligrams", "mg"), ("millilitres", "ml"), ("drops", "drops"))
    )
    often = rng.choice(FREQUENCIES)
    if rng.random() < 0.4:
        hours = rng.randint(2, 12)
        return Value(
            f"{talk.said(rng, amount)} {spoken} every {talk.said(rng, hours)} hours",
            f"{amount} {written} every {hours} hours",
        )
    return Value(f"{talk.said(rng, amount)} {spoken} {often}", f"{amount} {written} {often}")


def temperature(rng: Random) -> object:
    """Body temperature in degrees Celsius."""
    return talk.decimal(rng, 35, 40)


def pressure(rng: Random) -> object:
    """Blood pressure, said "142 over 91" and written "142/91"."""
    high, low = rng.randint(95, 189), rng.randint(55, 115)
    return Value(f"{high} over {low}", f"{high}/{low}")


WHO = Act(
    "Patient", talk.named,
    ("My name is {v}.", "I am {v}.", "{v} here.".replace("{v}", "It is {v}"), "The name is {v}."),
    ("Can I take your name?", "Who am I seeing today?", "Your full name, please?", "And you are?"),
    ("It's {v}.", "Sure, {v}.", "Yes, {v}."), echo=False,
)  # fmt: skip
FIRST = Act(
    "Complaint", complaint,
    ("I have this {v}.", "I keep getting a {v}.", "There is {v}.", "I came because of {v}.", "It is a {v}."),
    ("What brings you in?", "What is the trouble?", "How can I help?", "What seems to be wrong?",
     "Where does it hurt?"),
    ("A {v}.", "Well, {v}.", "Mostly {v}."),
)  # fmt: skip
SINCE = Act(
    "Lasting", talk.duration,
    ("It has been there for {v}.", "It started {v} ago.", "I have had it for {v} now.", "That began about {v} back."),
    ("How long has this been going on?", "Since when?", "When did it start?", "For how long?"),
    ("About {v}.", "For {v}, I think.", "Maybe {v}.", "Roughly {v} ago."),
)  # fmt: skip
SECOND = Act(
    "Complaint 2", complaint,
    ("And then there is {v}.", "I also get {v}.", "Besides that, {v}.", "On top of that I have {v}."),
    ("Is anything else bothering you?", "Anything besides that?", "What else?"),
    ("Yes, also {v}.", "Well, {v} too.", "There is {v} as well."),
)  # fmt: skip
SECOND_SINCE = Act(
    "Lasting 2", talk.duration,
    ("That one has lasted {v}.", "I have had that for {v}.", "That came {v} ago."),
    ("And how long for that?", "Since when is that one there?", "When did that begin?"),
    ("That is {v} now.", "About {v}.", "Some {v}."),
)  # fmt: skip
ALLERGY = Act(
    "Allergy", allergy,
    ("As for allergies, {v}.", "About allergies: {v}."),
    ("Any allergies?", "Are you allergic to anything?", "Do you react badly to any medicine?"),
    ("Allergies, {v}.", "Hmm, {v}.", "Let me see, {v}."), echo=False,
)  # fmt: skip
TEMPERATURE = Act(
    "Temp", temperature,
    ("Your temperature is {v}.", "You are running at {v}.", "The thermometer shows {v}.", "Temperature, {v}."),
    by_host=True,
)  # fmt: skip
PRESSURE = Act(
    "BP", pressure,
    ("Blood pressure is {v}.", "Your pressure reads {v}.", "I get {v} on the cuff.", "The cuff says {v}."),
    by_host=True,
)  # fmt: skip
SIGN = Act(
    "Sign", sign,
    ("I can see {v}.", "There is {v}.", "I notice some {v}.", "On looking I find {v}."), by_host=True,
)  # fmt: skip
MEDICINE = Act(
    "Rx", medicine,
    ("I will put you on {v}.", "Let us try {v}.", "I am giving you {v}.", "You can start {v}.", "I'll prescribe {v}."),
    by_host=True,
)  # fmt: skip
DOSE = Act(
    "Dose", dose,
    ("Take {v}.", "That is {v}.", "The dose is {v}.", "You take it like this: {v}.", "Please use {v}."), by_host=True,
)  # fmt: skip
REVIEW = Act(
    "Review", talk.appointment,
    ("Come back {v}.", "I want to see you {v}.", "Let us meet again {v}.", "We check it {v}.", "See me {v}."),
    by_host=True,
)  # fmt: skip

PHRASES = talk.Phrases(
    greetings=(
        "Good morning.",
        "Hello, come in.",
        "Please have a seat.",
        "Hi, I am the doctor on duty.",
        "Come in, sit.",
    ),
    replies=("Hello doctor.", "Thank you.", "Good morning.", "Hi, thanks for seeing me."),
    chatter=(
        ("Cold outside, isn't it?", "Terrible. I waited {n} minutes for the bus."),
        ("Was it hard to park?", "Yes, {n} cars before me."),
        ("Did {name} send you?", "No, I found you by myself."),
        ("You work with {name}, don't you?", "Yes, for {n} years now, funny enough."),
        ("How is the family?", "Good, thanks. My cousin {name} just turned {n}."),
        ("Sorry about the wait.", "No problem. I read {n} pages of a book."),
        ("My colleague {name} is away today.", "That is fine with me."),
        ("Nice jacket.", "Thanks, it cost me {n} pounds."),
        ("How was the weekend?", "Quiet. My aunt {name} took Brelivan for a cold, she is fine."),
        ("Did you watch the match?", "Yes, {n} minutes of it, then I slept."),
    ),
    closings=(
        ("Take care.", "Thanks, doctor."),
        ("Any questions?", "No, thank you."),
        ("Get well soon.", "Thank you, bye."),
        ("Is that clear?", "Yes, thanks."),
    ),
)


def symptoms(rng: Random, number: int) -> tuple[str, ...]:
    """That many different symptoms, some with a time or an occasion."""
    return tuple(f"{name} {rng.choice(TIMES)}".strip() for name in rng.sample(SYMPTOMS, number))


def check(rng: Random, number: int, mixed: bool) -> object:
    """Questions about symptoms; with `mixed` some are affirmed."""
    yes = tuple(mixed and rng.random() < 0.5 for _ in range(number))
    return Check("Admits", "Denies", symptoms(rng, number), yes)


def scene(rng: Random, level: int, name: str | None = None) -> object:
    """A visit of that difficulty (1, 2 or 3); `name` fixes the patient."""
    who = WHO
    if name is not None:
        known = name
        who = Act("Patient", lambda _: Value(known, known), WHO.full, WHO.ask, WHO.short, echo=False)
    items: list[object] = [who, FIRST, SINCE]
    if level == 3:
        items += [SECOND, SECOND_SINCE] if rng.random() < 0.6 else [SECOND]
    items.append(check(rng, 1 if level == 1 else rng.choice((1, 2)), mixed=level > 1))
    if level > 1 and rng.random() < 0.25:
        items.append(ALLERGY)
    treated = rng.random() < 0.7
    if level > 1 or not treated:
        items.append(rng.choice((TEMPERATURE, PRESSURE, SIGN)))
    if treated:
        items += [MEDICINE, DOSE]
    if not treated or rng.random() < 0.5:
        items.append(REVIEW)
    return talk.Scene(
        host="Dr", guest="Pt", items=tuple(items), phrases=PHRASES, greeting=0.3, closing=0.15,
        corrections=(0, 1, rng.choice((1, 2)))[level - 1] if name is None else 0,
        chatter=(0, rng.choice((0, 1)), 1)[level - 1],
        interruptions=(0, 0, rng.choice((0, 1)))[level - 1],
        late_correction=level == 3 and rng.random() < 0.4,
    )  # fmt: skip


def write_note(facts: tuple[object, ...]) -> str:
    """The note: one line a label, values of one label separated by semicolons."""
    values: dict[str, list[str]] = {label: [] for label in LABELS}
    for fact in facts:
        values[fact.slot].append(fact.value)  # type: ignore[attr-defined]
    return "\n".join(f"{label}: {'; '.join(said)}" for label, said in values.items() if said)


MAKERS = {
    "Patient": talk.named, "Complaint": complaint, "Lasting": talk.duration, "Complaint 2": complaint,
    "Lasting 2": talk.duration, "Allergy": allergy, "Temp": temperature, "BP": pressure, "Sign": sign, "Rx": medicine,
    "Dose": dose, "Review": talk.appointment, "Admits": lambda rng: _symptom(rng), "Denies": lambda rng: _symptom(rng),
}  # fmt: skip
"""What draws a value of each label."""


def _symptom(rng: Random) -> object:
    """One symptom as a value."""
    name = symptoms(rng, 1)[0]
    return Value(name, name)


def other_value(slot: str, value: str, facts: tuple[object, ...], rng: Random) -> str:
    """A value of that slot which no fact of the visit has."""
    taken = {fact.value for fact in facts} | {value}  # type: ignore[attr-defined]
    while True:
        other = MAKERS[slot](rng).written
        if other not in taken:
            return str(other)


def near_value(slot: str, value: str, facts: tuple[object, ...], rng: Random) -> str:
    """A false value that is easily mistaken for the true one: one digit, one word or one syllable differs."""
    taken = {fact.value for fact in facts} | {value}  # type: ignore[attr-defined]
    while True:
        other = MAKERS[slot](rng).written
        digits = [at for at, letter in enumerate(value) if letter.isdigit()]
        digits = digits[1:] if slot in ("Temp", "BP") else digits
        mine, new = value.split(), other.split()
        if digits:
            at = rng.choice(digits)
            other = value[:at] + rng.choice("23456789") + value[at + 1 :]
        elif slot == "Rx" or (slot == "Allergy" and value != "none"):
            other = value[:-2] + talk.word(rng, 1)
        elif len(mine) == len(new) > 1:
            at = rng.randrange(len(mine))
            other = " ".join((*mine[:at], new[at], *mine[at + 1 :]))
        if other not in taken:
            return str(other)


def with_invention(facts: tuple[object, ...], rng: Random) -> tuple[object, ...]:
    """The facts and one that nobody stated: under a label not used yet, or one more denial."""
    used = {fact.slot for fact in facts}  # type: ignore[attr-defined]
    free = [label for label in ("Admits", "Denies", "Allergy", "Temp", "BP", "Sign", "Review") if label not in used]
    slot = rng.choice([*free, "Denies"])
    return (*facts, talk.Fact(slot, other_value(slot, "none", facts, rng)))
