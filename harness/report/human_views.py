"""What people said, as tables for a terminal, Markdown, a page and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from harness.records import Estimate, Stamp
from harness.records import to_json as plain_json
from harness.report import numbers
from harness.report.human import HumanReview, HumanTable
from harness.report.rendering import WIDTH, TextColumn, emit, fitted, plain, terminal_width
from harness.stats.votes import Measured, WinRate

SCHEMA = "harness.review-results/2"
SHARE = (0.0, 1.0)
KAPPAS_SHOWN = 15
Rows = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Block:
    """A table with its title, and lines beneath it."""

    title: str
    heads: tuple[tuple[str, int], ...]
    """Name, and the order in which a narrow table drops it (0: never)."""
    rows: Rows
    lines: tuple[str, ...] = ()


def print_human(found: HumanReview) -> None:
    """Print the results of a round on standard output."""
    emit(_rendered(found, terminal_width()))


def human_to_text(found: HumanReview) -> str:
    """The results of a round as plain lines."""
    return plain(_rendered(found, WIDTH), WIDTH)


def human_to_json(found: HumanReview) -> dict[str, Any]:
    """The results of a round, every statistic with how it was made or why it is not there."""
    return {"schema": SCHEMA, **plain_json(found)}


def _rendered(found: HumanReview, width: int) -> list[RenderableType]:
    parts: list[RenderableType] = [Text(numbers.printable(line)) for line in heading(found)]
    for title, blocks in human_sections(found):
        parts += [Text(""), Text(title.upper() if title else "")] if title else []
        for block in blocks:
            parts += [Text(""), render(block, width), *(Text(numbers.printable(line)) for line in block.lines)]
    return parts


def render(block: Block, width: int) -> RenderableType:
    """A block's table; of columns that do not fit those with the largest number go first."""
    cells = list(zip(*block.rows, strict=True)) if block.rows else [()] * len(block.heads)
    columns = [
        TextColumn(name, [numbers.printable(cell) for cell in own], drop)
        for (name, drop), own in zip(block.heads, cells, strict=True)
    ]
    return fitted(columns, width)


def heading(found: HumanReview) -> list[str]:
    """What was judged by whom, and when."""
    all_ = found.everyone
    lines = [
        f"Round {found.round}: {' against '.join(found.arms)} over {found.split} prompts. {found.items} items for "
        f"{some(found.raters_per_item, 'rater')} each; {all_.votes} of {found.wanted} votes by "
        f"{some(all_.raters, 'rater')} on {some(all_.examples, 'example')}.",
        "; ".join(
            _stamp(what, stamp)
            for what, stamp in (("Opened", found.opened), ("closed", found.closed), ("unblinded", found.unblinded))
        )
        + ".",
    ]
    if found.automatic_items:
        lines.append(
            f"On {found.automatic_items} items both wrote the same text: ties that nobody was asked about. They stand "
            "in rates and scores once for each planned rater, and nowhere else."
        )
    lines += [f"{note[0].upper()}{note[1:]}." for note in found.notes]
    return [*lines, *(f"Left out by the declared rule: {one.rater} ({one.excluded})." for one in found.excluded)]


def some(count: int, what: str) -> str:
    """`1 rater`, `2 raters`."""
    return f"{count} {what}" + ("" if count == 1 else "s")


def _stamp(what: str, stamp: Stamp) -> str:
    return f"{what} {stamp.when}" + (f" by {stamp.who}" if stamp.who else "") + (f" ({stamp.why})" if stamp.why else "")


def human_sections(found: HumanReview) -> list[tuple[str, list[Block]]]:
    """Sections with a title: all raters, without those that the rule leaves out, the raters themselves."""
    parts = [("All raters" if found.excluded else "", table_blocks(found, found.everyone))]
    if found.without is not None:
        who = ", ".join(one.rater for one in found.excluded)
        parts.append((f"Without {who}", table_blocks(found, found.without)))
    return [*parts, ("Raters", [rater_block(found), *kappa_blocks(found)])]


# ----------------------------------------------------------------------------------------------------------- tables


def table_blocks(found: HumanReview, table: HumanTable) -> list[Block]:
    """Every table of one set of raters."""
    return [
        _arms(table),
        *([_pairs(table)] if len(found.arms) > 1 and table.pairs else []),
        _statistics(found, table),
        *([_criteria(found, table)] if found.criteria else []),
        *([_flags(table)] if found.flags else []),
    ]


def _arms(table: HumanTable) -> Block:
    heads = (
        ("arm", 0), ("human win rate [95 %]", 0), ("won", 2), ("lost", 2), ("tied", 2), ("both bad", 3),
        ("score [95 %]", 1), ("at equal length [95 %]", 4), ("rank", 0), ("P(best)", 0),
    )  # fmt: skip
    rows = tuple(
        (
            one.arm,
            share(one.win_rate.rate),
            *counts(one.win_rate),
            score(one.score),
            score(one.at_equal_length),
            numbers.ranks(one.ranks),
            numbers.chance(one.best_probability),
        )
        for one in table.arms
    )
    lines = [
        "Win rate: against the other arms as they were met, ties as half wins, both bad in no rate. Score: "
        "Bradley-Terry, log-odds against the mean arm. Intervals are clustered by example and by rater; ranks hold "
        "together.",
        *few(table.raters),
        *_reasons([("score", one.score) for one in table.arms]),
        *_reasons([("score at equal length", one.at_equal_length) for one in table.arms]),
    ]
    return Block("Arms", heads, rows, tuple(lines))


def few(raters: int) -> list[str]:
    """What two-way intervals cover with few raters: `bench/coverage.py --review`."""
    if raters == 1:
        return ["One rater: intervals are clustered by example only, and speak about this rater."]
    covered = {2: "91", 3: "93"}.get(raters)
    return [f"{raters} raters are few: such intervals cover about {covered} % in simulations."] if covered else []


def counts(one: WinRate) -> tuple[str, str, str, str]:
    """Won, lost, tied, both bad."""
    return str(one.wins), str(one.losses), str(one.ties), str(one.both_bad)


def _pairs(table: HumanTable) -> Block:
    heads = (
        ("pair", 0), ("first wins [95 %]", 0), ("won", 1), ("lost", 1), ("tied", 1), ("both bad", 3),
        ("implied by scores [95 %]", 0), ("p", 2),
    )  # fmt: skip
    none = (numbers.ABSENT,) * 4
    rows = tuple(
        (
            f"{one.first} over {one.second}",
            share(one.rate.rate) if one.rate else numbers.ABSENT,
            *(counts(one.rate) if one.rate else none),
            share(one.implied) + (" *" if one.unbounded else ""),
            numbers.probability(one.p_value),
        )
        for one in table.pairs
    )
    lines = ["p: of no difference in scores, not adjusted for the number of pairs."]
    if any(one.unbounded for one in table.pairs):
        lines.append("* the votes separate the two: any finite difference is too small.")
    return Block("Pairs", heads, rows, tuple(lines))


def _statistics(found: HumanReview, table: HumanTable) -> Block:
    measured = [
        ("votes for the left side", table.left_rate, SHARE),
        ("effect of standing left (log-odds)", table.side, None),
        ("effect of length (log-odds)", table.length, None),
        ("agreement: alpha, nominal", table.alpha_nominal, SHARE),
        ("agreement: alpha, ordinal", table.alpha_ordinal, SHARE),
        ("self-consistency on swapped repeats", table.consistency, SHARE),
        *([("blinding index (all raters)", found.blinding, SHARE)] if table is found.everyone else []),
    ]
    rows = tuple(
        (name, numbers.with_interval(one.estimate, bounds), str(one.estimate.n) if one.estimate else numbers.ABSENT)
        for name, one, bounds in measured
    )
    return Block(
        "Bias and agreement",
        (("statistic", 0), ("value [95 %]", 0), ("n", 0)),
        rows,
        tuple(_reasons([(name, one) for name, one, _ in measured])),
    )


def _criteria(found: HumanReview, table: HumanTable) -> Block:
    heads = (("arm", 0), *((f"{name} [95 %]", 0) for name in found.criteria))
    rows = tuple(
        (one.arm, *(share(one.criteria[name].rate) if name in one.criteria else "-" for name in found.criteria))
        for one in table.arms
    )
    return Block("Criteria: win rate on each", heads, rows)


def _flags(table: HumanTable) -> Block:
    heads = (("arm", 0), ("flag", 0), ("answers flagged", 0), ("share", 0), ("at most", 0), ("in votes", 1))
    rows = tuple(
        (
            one.arm,
            flag.flag,
            f"{flag.flagged} of {flag.answers}",
            numbers.fixed(flag.rate, 3),
            numbers.fixed(flag.upper, 3),
            f"{flag.flagged_votes} of {flag.votes}",
        )
        for one in table.arms
        for flag in one.flags
    )
    line = (
        "An answer is flagged when any of its raters flagged it. At most: exact one-sided 95 % limit (Clopper-Pearson) "
        "over answers, each of another example, so that raters of one answer are not counted apart."
    )
    return Block("Flags", heads, rows, (line,))


def rater_block(found: HumanReview) -> Block:
    """How every rater did where the right answer is known."""
    heads = (
        ("rater", 0), ("votes", 0), ("gold right [95 %]", 0), ("identical called alike [95 %]", 0),
        ("repeats alike", 0), ("left", 1), ("median s", 2), ("left out", 0),
    )  # fmt: skip
    rows = tuple(
        (
            one.rater,
            str(one.votes),
            share(one.gold),
            share(one.identical),
            _of(one.repeats),
            _of(one.left),
            numbers.seconds(one.seconds),
            "yes" if one.excluded else "no",
        )
        for one in found.raters
    )
    return Block("Raters", heads, rows, (_rule(found),))


def _rule(found: HumanReview) -> str:
    rule = found.rule
    parts = [
        f"{least:.0%} of {what}"
        for least, what in (
            (rule.gold_accuracy, "gold pairs right"),
            (rule.identical_ties, "identical pairs called a tie"),
            (rule.repeat_agreement, "repeats judged alike"),
        )
        if least is not None
    ]
    if not parts:
        return "No rule that leaves raters out was declared."
    return f"Declared at the opening: at least {', '.join(parts)}, where {rule.at_least} or more were judged."


def kappa_blocks(found: HumanReview) -> list[Block]:
    """Cohen's kappas of each two raters; those with most in common where there are many."""
    kappas = sorted(found.everyone.kappas, key=lambda one: -one.n)
    if not kappas:
        return []
    rows = tuple(
        (
            f"{one.first}, {one.second}",
            numbers.fixed(one.value, 3) if one.value is not None else one.why,
            str(one.n),
        )
        for one in kappas[:KAPPAS_SHOWN]
    )
    rest = len(kappas) - len(rows)
    lines = (f"{rest} more pairs of raters: --json has them.",) if rest else ()
    return [Block("Kappas", (("raters", 0), ("Cohen's kappa", 0), ("in common", 0)), rows, lines)]


# ------------------------------------------------------------------------------------------------------------ cells


def share(one: Measured) -> str:
    """A share with its interval."""
    return numbers.with_interval(one.estimate, SHARE)


def score(one: Measured) -> str:
    """Log-odds with their interval, two decimals."""
    found = one.estimate
    if found is None:
        return numbers.ABSENT
    return f"{_signed(found.value)} {_limits(found)}"


def _limits(found: Estimate) -> str:
    if found.low is None or found.high is None:
        return "[-]"
    return f"[{_signed(found.low)}, {_signed(found.high)}]"


def _signed(value: float) -> str:
    return numbers.fixed(value, 2, sign=True)


def _of(found: tuple[int, int]) -> str:
    return f"{found[0]} of {found[1]}" if found[1] else numbers.ABSENT


def _reasons(measured: Sequence[tuple[str, Measured]]) -> list[str]:
    """Why a value is not there, or has no interval; the same reason said once."""
    said: dict[str, list[str]] = {}
    for name, one in measured:
        if one.estimate is None:
            said.setdefault(one.why, []).append(name)
        elif one.estimate.low is None:
            said.setdefault(one.estimate.method.rpartition("; ")[2] or one.estimate.method, []).append(name)
    return [f"No {', '.join(dict.fromkeys(names))}: {why}." for why, names in said.items() if why]
