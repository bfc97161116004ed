"""Lexicons of the trades that the base model is pretrained on, and of one that is held out."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

talk = sys.modules["visit_notes_conversations"]
KINDS = (
    "who", "code", "issue", "since", "issue2", "since2", "helper", "present", "absent", "avoid", "gauge", "ratio",
    "finding", "item", "amount", "next",
)  # fmt: skip
SIDES = [
    "left",
    "right",
    "front",
    "rear",
    "upper",
    "lower",
    "inner",
    "outer",
    "upper-left",
    "lower-right",
    "front-left",
    "rear-right",
    "north",
    "south",
    "east",
    "west",
    "middle",
    "small",
    "big",
    "old",
    "new",
    "first",
    "second",
    "main",
    "spare",
]
RATES = ("once a week", "twice a week", "each morning", "in the evening", "per room", "per box", "at most", "as needed",
         "every other day", "before noon", "on Sundays", "per person", "once a month", "twice a day")  # fmt: skip
WHEN = ("in the morning", "in the evening", "after rain", "on Mondays", "when it is cold", "lately", "", "", "", "")
LABELS: dict[str, tuple[str, ...]] = {
    "who": ("Name", "Client", "Caller", "Customer", "From", "Who", "Contact", "Person", "Asked by", "Account"),
    "code": ("Code", "Ref", "Number", "File", "Ticket", "Id", "Order"),
    "issue": ("Issue", "Problem", "Matter", "Topic", "Reason", "Request", "Trouble", "About", "Fault", "What"),
    "since": ("Since", "Time", "Duration", "How long", "Period", "Age", "Started", "Running", "Ongoing"),
    "issue2": ("Issue 2", "Second", "Also", "Problem 2", "Other", "Besides", "Extra", "Next matter", "Matter 2"),
    "since2": ("Since 2", "Time 2", "Second since", "Also since", "Other time", "Duration 2", "Period 2"),
    "helper": ("Handled by", "Helper", "Sent by", "Colleague", "Agent", "Second name", "Named"),
    "present": ("Seen", "Yes", "Has", "Present", "Confirmed", "Noted", "With", "Agreed"),
    "absent": ("Not seen", "No", "Without", "Absent", "Ruled out", "None of", "Lacks", "Not"),
    "avoid": ("Avoid", "Never use", "Keep away", "Not to use", "Banned", "Careful with", "Except"),
    "gauge": ("Reading", "Level", "Value", "Measured", "Gauge", "Meter", "Figure"),
    "ratio": ("Size", "Ratio", "Count", "Score", "Format", "Pair", "Dimensions"),
    "finding": ("Found", "Finding", "Check", "Observed", "Inspection", "Remark", "Spotted"),
    "item": ("Item", "Product", "Article", "Use", "Ordered", "Supply", "Goods", "Chosen"),
    "amount": ("Amount", "Quantity", "How much", "Plan", "Portion", "Use rate", "Rate"),
    "next": ("Next", "When", "Return", "Back", "Date", "Appointment", "Then", "Meeting", "Deadline"),
}


@dataclass(frozen=True, slots=True)
class Said:
    """Phrases that bring up one kind of fact."""

    full: tuple[str, ...]
    ask: tuple[str, ...] = ()
    short: tuple[str, ...] = ()
    by_host: bool = False


PHRASES: dict[str, Said] = {
    "who": Said(
        ("My name is {v}.", "I am {v}.", "This is {v}.", "{v} is my name.", "The name's {v}.", "You can call me {v}."),
        ("What is your name?", "May I have your name?", "Who is this?", "Your name, please?", "Whom shall I put down?"),
        ("It's {v}.", "That's {v}.", "Of course, {v}.", "Yes, {v}.", "{v}."),
    ),
    "code": Said(
        ("The number is {v}.", "My reference is {v}.", "It says {v} on the paper.", "The code reads {v}."),
        ("Do you have the number?", "What is the reference?", "Which code is on it?"),
        ("It's {v}.", "Yes, {v}.", "Here, {v}."),
    ),
    "issue": Said(
        ("There is {v}.", "I found {v}.", "We have {v}.", "I am calling about {v}.", "It is about {v}.", "I see {v}."),
        ("What can I do for you?", "What is it about?", "What happened?", "So what is wrong?", "What is the matter?"),
        ("Well, {v}.", "Mainly {v}.", "It's {v}.", "Just {v}.", "Um, {v}."),
    ),
    "since": Said(
        ("It began {v} ago.", "It has been like that for {v}.", "That goes back {v}.", "We noticed it {v} ago."),
        ("How long already?", "When did you notice?", "How long has it been so?", "Since when is that?"),
        ("For {v}.", "Around {v}.", "Some {v} now.", "About {v}, I guess.", "{v}, give or take."),
    ),
    "issue2": Said(
        ("There is also {v}.", "And another thing, {v}.", "We have {v} as well.", "Then I found {v}."),
        ("Anything more?", "Was that all?", "Is there a second thing?", "Something else too?"),
        ("Also {v}.", "Yes, {v}.", "One more, {v}.", "Well yes, {v}."),
    ),
    "since2": Said(
        ("That other one is there for {v}.", "The second began {v} ago.", "That one goes back {v}."),
        ("And that one, how long?", "How old is that one?", "And the second, since when?"),
        ("That is {v}.", "For {v}.", "Around {v}."),
    ),
    "helper": Said(
        ("I talked to {v} before.", "{v} sent me here.", "It was {v} who looked at it first.", "{v} took my call."),
        ("Who helped you last time?", "Whom did you talk to?", "Who sent you?"),
        ("That was {v}.", "It was {v}.", "I think {v}."),
    ),
    "avoid": Said(
        ("Please do not use {v}.", "We must keep {v} away.", "Nothing with {v}, please.", "I can't stand {v}."),
        ("Is there anything to avoid?", "What should we not use?", "Anything you don't want?"),
        ("Yes, {v}.", "Well, {v}.", "Only {v}.", "That would be {v}."),
    ),
    "gauge": Said(
        ("The {gauge} shows {v}.", "I measure {v} on the {gauge}.", "The {gauge} is at {v}.", "{gauge}, {v}."),
        by_host=True,
    ),
    "ratio": Said(("The {ratio} is {v}.", "I have {v} for the {ratio}.", "{ratio}, {v}.", "We get {v}."), by_host=True),
    "finding": Said(
        ("I also see {v}.", "I find {v}.", "Here I notice {v}.", "The list shows {v}.", "Looking at it, {v}."),
        by_host=True,
    ),
    "item": Said(
        ("We will take {v}.", "I suggest {v}.", "I'd use {v} for that.", "The {trade_item} will be {v}.",
         "You get {v} as the {trade_item}.", "Let me note {v} then."),
        by_host=True,
    ),
    "amount": Said(
        ("You need {v}.", "Use {v}.", "That makes {v}.", "Plan {v}.", "Make it {v}.", "Of that, {v}."), by_host=True
    ),
    "next": Said(
        ("We meet {v}.", "I will call you {v}.", "It is ready {v}.", "We look again {v}.", "Please return {v}."),
        by_host=True,
    ),
}  # fmt: skip

GREETINGS = ("Hello.", "Good afternoon.", "Hi there.", "Welcome.", "Good day, come closer.", "Hello, how are you?",
             "Yes, hello?", "Thanks for waiting.")  # fmt: skip
REPLIES = ("Hello.", "Hi.", "Good day.", "Thanks.", "Fine, thank you.", "Hi, good to see you.")
CHATTER = (
    ("Nice weather today.", "Yes, at last. It rained for {n} days."),
    ("Did you find us easily?", "I drove around for {n} minutes."),
    ("Do you know {name}?", "No, never heard of {name}."),
    ("You look busy.", "I have {n} things to do today."),
    ("My friend {name} says hello.", "Oh, thank you."),
    ("The lift is broken again.", "I saw. I took {n} steps."),
    ("Would you like a coffee?", "No, I had {n} already."),
    ("Is {name} still living next door?", "No, {name} moved away."),
    ("I like your hat.", "It is {n} years old."),
    ("Was there much traffic?", "Only near the bridge, {n} cars or so."),
    ("My son is {n} today.", "How nice. Say hello from {name}."),
    ("We were closed yesterday.", "I know, {name} told me."),
    ("It is loud in here.", "I don't mind."),
    ("The radio says snow.", "They said that {n} times."),
)
CLOSINGS = (
    ("Thank you.", "Thanks, bye."), ("See you.", "Bye."), ("Anything you want to ask?", "No, all clear."),
    ("Have a good day.", "You too."), ("That is it.", "Thank you very much."), ("Goodbye.", "Goodbye."),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Trade:
    """The words of one trade."""

    name: str
    speakers: tuple[tuple[str, str], ...]
    titles: tuple[str, ...]
    qualities: tuple[str, ...]
    troubles: tuple[str, ...]
    places: tuple[str, ...]
    checks: tuple[str, ...]
    items: tuple[str, ...]
    gauges: tuple[str, ...]
    ratios: tuple[str, ...]
    units: tuple[tuple[str, str], ...]
    endings: tuple[str, ...]
    gauge_low: int
    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    phrases: dict[str, Said] = field(default_factory=dict)
    skip: tuple[str, ...] = ()
    talk: object = None


def _w(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _c(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


SMALL_TALK = talk.Phrases(GREETINGS, REPLIES, CHATTER, CLOSINGS)
G = (("grams", "g"), ("kilos", "kg"), ("boxes", "boxes"))
L = (("litres", "l"), ("millilitres", "ml"), ("cans", "cans"))
M = (("metres", "m"), ("centimetres", "cm"), ("pieces", "pieces"))
T = (("minutes", "min"), ("pages", "pages"), ("hours", "h"))

_ROWS = (
    ("garage", "Mechanic Driver|Shop Owner|M D", "job card, work order, service sheet",
     "grinding rattling squeaking loud rusty leaking hissing loose bent worn cracked smoking wobbly noisy clicking",
     "noise leak rattle vibration crack smell scratch dent spark wobble hum drip",
     "brake wheel door mirror pump axle exhaust gearbox light tyre seat belt clutch bumper window radiator battery",
     "smoke, warning light, oil spots, burnt smell, flat tyres, starting trouble, stalling, shaking, rust, odd sounds",
     "part, oil, coolant", "oil gauge, tyre gauge, thermometer", "tyre size, mileage", L, "ex on ar tek ium", 20),
    ("school", "Teacher Parent|Mrs Pupil|T P", "report slip, class entry, school memo",
     "messy missing late short unclear noisy boring hard easy long wrong torn forgotten weak untidy",
     "homework essay drawing test reading quarrel song poster question mistake absence project",
     "desk class book hall yard board folder shelf locker group row gate page bench corner",
     "lateness, shouting, copying, lost books, sleepiness, bullying, good marks, forgotten lunch, extra lessons",
     "workbook, course, reader", "average mark, class average, attendance", "test score, seat number", T,
     "ia us ema log", 1),
    ("shop", "Clerk Customer|Seller Buyer|S C", "sales slip, complaint form, order note",
     "broken torn faded dirty expensive cheap heavy wrong missing open scratched dented sticky stained noisy",
     "zip button lid handle label seam strap cover screen plug hinge tag",
     "pocket sleeve bag box shelf lamp chair bottle shoe jacket case drawer parcel table tent",
     "receipt, warranty, gift wrap, delivery, broken seal, missing parts, discount, membership, stains",
     "brand, model, article", "price tag, scale, display", "shelf number, box size", G, "ly mart eo ix a", 3),
    ("farm", "Adviser Farmer|Helper Grower|A F", "field log, farm record, plot note",
     "dry wet yellow wilted broken muddy hungry stony weedy flooded bare rotten frozen patchy thin",
     "fence soil patch leaf root stem hole ditch gap weed crop mud",
     "field barn meadow pond orchard hill stable hedge greenhouse shed gate furrow slope silo trough",
     "frost, weeds, beetles, mould, puddles, dry leaves, fox tracks, broken wire, bird damage, snails",
     "seed, fertiliser, feed", "rain gauge, soil probe, moisture meter", "row spacing, plot size", G,
     "gro seed mix vit", 5),
    ("travel", "Agent Traveller|Desk Guest|A T", "trip sheet, booking note, travel file",
     "delayed lost cancelled crowded missing expensive early late double wrong cheap direct overbooked changed slow",
     "ticket flight seat bus train cabin transfer bag visa booking stop ferry",
     "terminal platform coast island harbour city border valley gate deck carriage village beach station counter",
     "visa, window seat, luggage, vegetarian meals, insurance, pets, early check-in, car hire, sea sickness",
     "airline, tour, pass", "exchange rate, scale, fare table", "seat and row, gate and seat", T,
     "air jet way ana", 10),
    ("office", "Manager Clerk|Boss Assistant|M A", "memo, meeting note, task entry",
     "late missing unclear urgent slow wrong noisy broken open double unpaid old lost unsigned blank",
     "invoice report printer screen contract phone letter form update budget file login",
     "desk floor room cabinet archive corridor kitchen server lobby printer account folder drawer wing team",
     "paper jams, overtime, unread mail, signatures, receipts, travel costs, passwords, backups, complaints",
     "software, supplier, tool", "budget line, counter, dashboard", "page count, room size", T, "soft desk ly io", 2),
    ("plumber", "Plumber Tenant|Fitter Landlord|P L", "repair slip, visit sheet, work report",
     "dripping clogged frozen leaking loud cold rusty blocked cracked slow dirty loose burst wet smelly",
     "pipe tap drain valve seal boiler hose joint flush flow filter flange",
     "sink bath kitchen cellar shower toilet wall ceiling garden attic laundry basin heater landing yard",
     "damp walls, low pressure, cold water, bad smell, banging pipes, rust, dripping, mould, steam",
     "sealant, fitting, cleaner", "pressure gauge, water meter, thermometer", "pipe size, tile count", M,
     "flex seal fix on", 1),
    ("library", "Librarian Reader|Desk Member|L R", "loan slip, desk note, shelf record",
     "torn missing overdue stained lost rare old misplaced damaged reserved heavy thin wrong faded unreadable",
     "cover page atlas novel map index volume journal card spine print scan",
     "shelf hall cellar reading-room case corner aisle archive counter stack cart tower alcove trolley cabinet",
     "fines, notes in books, missing pages, reservations, overdue loans, a valid card, coffee stains, renewals",
     "title, series, edition", "catalogue, counter, hygrometer", "shelf mark, page count", T, "ana ica oria um", 12),
    ("hotel", "Reception Guest|Desk Visitor|R G", "guest card, room note, night log",
     "noisy dirty cold hot broken dark missing small wet stuck flickering smelly loud late stained",
     "lamp shower towel bed curtain key radio window lock heater carpet safe",
     "room bathroom balcony lobby floor suite pool terrace corridor lift wardrobe bar wing garage garden",
     "noise, breakfast, towels, late check-out, minibar use, pets, extra bed, wake-up calls, parking",
     "menu, wine, package", "thermostat, bill, meter", "room and floor, bed size", T, "elle ora ette ino", 15),
    ("gym", "Coach Member|Trainer Athlete|C M", "training card, plan sheet, progress log",
     "slow fast heavy light uneven weak stiff short long shaky loud wrong quick lazy broken",
     "lift jump step swing turn sprint press row grip stride rope plank",
     "bench mat bar track pool ring court bike locker ladder wall ball belt rack lane",
     "warm-up, water breaks, skipped days, stretching, new shoes, music, night shifts, races, swimming",
     "shake, band, programme", "stop watch, scale, pulse belt", "sets and reps, lane and row", M, "fit pro max ora", 6),
    ("bakery", "Baker Customer|Chef Waiter|B C", "order slip, kitchen note, batch card",
     "burnt soft dry sticky sweet flat hard salty raw crumbly sour cold hot stale lumpy",
     "crust dough cake roll filling cream loaf glaze bread pie bun layer",
     "oven tray counter bowl table mixer shelf fridge tin rack basket window stove jar board",
     "nuts, candles, eggs, sugar icing, delivery, a birthday message, seeds, gluten, raisins",
     "flour, syrup, yeast", "oven dial, scale, timer", "tray size, tin size", G, "ella ade ino mel", 40),
    ("theatre", "Director Actor|Stage Crew|D A", "stage note, rehearsal log, cue sheet",
     "late loud dark missing wrong slow bright torn silent early creaking heavy crooked shaky dusty",
     "curtain light cue costume song prop line dance mask wig rope backdrop",
     "stage balcony wing trapdoor dressing-room pit aisle ladder foyer tower booth row ramp bridge gallery",
     "wrong cues, missed lines, stage fright, new shoes, spare wigs, smoke effects, applause, understudies",
     "play, paint, fabric", "sound meter, light desk, clock", "scene and act, row and seat", M, "io essa ando ix", 18),
    ("harbour", "Warden Skipper|Pilot Sailor|W S", "berth card, harbour log, mooring note",
     "frayed salty drifting flapping barnacled leaking tangled bent jammed rusty slack chafed soaked listing fouled",
     "rope anchor sail hull mast rudder cleat winch fender chain flag keel",
     "jetty pier cabin deck bow stern quay buoy hatch galley engine-room slipway berth pontoon crane",
     "fog, high swell, seagulls, spare ropes, life vests, fuel stains, loose planks, night arrivals, seaweed",
     "varnish, paint, rope", "depth gauge, wind meter, barometer", "draught and beam, berth and pier", M,
     "mar nav sail or", 8),
)  # fmt: skip


def _trade(row: tuple[object, ...]) -> Trade:
    name, speakers, titles, qualities, troubles, places, checks, items, gauges, ratios, units, endings, low = row
    pairs = tuple(tuple(pair.split()) for pair in str(speakers).split("|"))
    return Trade(
        str(name), pairs, _c(str(titles)), _w(str(qualities)), _w(str(troubles)),  # type: ignore[arg-type]
        _w(str(places)), _c(str(checks)), _c(str(items)), _c(str(gauges)), _c(str(ratios)), units,  # type: ignore[arg-type]
        _w(str(endings)), int(str(low)), talk=SMALL_TALK,
    )  # fmt: skip


_ALL = tuple(_trade(row) for row in _ROWS)
SEEN = tuple(trade for trade in _ALL if trade.name != "harbour")
HELD_OUT = next(trade for trade in _ALL if trade.name == "harbour")
