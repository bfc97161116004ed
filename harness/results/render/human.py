"""What people said, as tables: of a whole round, and one more metric of each arm of a leaderboard."""

from __future__ import annotations

from collections.abc import Sequence

from harness.results import numbers
from harness.results.human.records import FlagRate, HumanArm, HumanPair, HumanRater, HumanReview, HumanTable
from harness.results.leaderboard.rows import Leaderboard
from harness.results.render.table import Columns, Table, table, table_of
from harness.results.render.words import sentence, some
from harness.results.render.writers import Part, printed
from harness.stats.votes import Kappa, Measured

SHARE = (0.0, 1.0)
KAPPAS_SHOWN = 15


def human_view(review: HumanReview) -> list[Part]:
    """The results of a round: what was judged, and every table of every set of raters."""
    parts: list[Part] = [*heading(review)]
    for title, tables in human_sections(review):
        parts += ["", title.upper()] if title else []
        parts += [part for shown in tables for part in ("", shown)]
    return parts


print_human, human_to_text = printed(human_view)


def heading(review: HumanReview) -> list[str]:
    """What was judged by whom, and when."""
    votes, stamps = review.everyone, []
    for what, stamp in (("Opened", review.opened), ("closed", review.closed), ("unblinded", review.unblinded)):
        by = f" by {stamp.who}" if stamp.who else ""
        stamps.append(f"{what} {stamp.when}{by}" + (f" ({stamp.why})" if stamp.why else ""))
    lines = [
        f"Round {review.round}: {' against '.join(review.arms)} over {review.split} prompts. {review.items} items for "
        f"{some(review.raters_per_item, 'rater')} each; {votes.votes} of {review.wanted} votes by "
        f"{some(votes.raters, 'rater')} on {some(votes.examples, 'example')}.",
        f"{'; '.join(stamps)}.",
    ]
    if review.automatic_items:
        lines.append(
            f"On {review.automatic_items} items both wrote the same text: ties that nobody was asked about. They stand "
            "in rates and scores once for each planned rater, and nowhere else."
        )
    lines += map(sentence, review.notes)
    return [*lines, *(f"Left out by the declared rule: {rater.rater} ({rater.excluded})." for rater in review.excluded)]


def human_sections(review: HumanReview) -> list[tuple[str, list[Table]]]:
    """Sections with a title: all raters, without those that the rule leaves out, the raters themselves."""
    parts = [("All raters" if review.excluded else "", review_tables(review, review.everyone))]
    if review.without is not None:
        who = ", ".join(rater.rater for rater in review.excluded)
        parts.append((f"Without {who}", review_tables(review, review.without)))
    return [*parts, ("Raters", rater_tables(review))]


# ----------------------------------------------------------------------------------------------------------- tables


def board_rates(board: Leaderboard) -> Table | None:
    """The human win rate of every arm of a leaderboard; None without an unblinded round."""
    review = board.human
    if review is None:
        return None
    columns: Columns[HumanArm] = {
        "human review": lambda arm: arm.arm,
        "human win rate ↑ [95 %]": lambda arm: share(arm.win_rate.rate),
        "rank": lambda arm: numbers.ranks(arm.ranks),
        ("P(best)", 1): lambda arm: numbers.chance(arm.best_probability),
        ("score [95 %]", 2): lambda arm: _log_odds(arm.score),
        "votes": lambda arm: str(arm_votes(arm)),
    }
    if review.without is not None:
        rates = {arm.arm: share(arm.win_rate.rate) for arm in review.without.arms}
        columns = {**columns, "without left out [95 %]": lambda arm: rates.get(arm.arm, numbers.ABSENT)}
    return table_of(review.everyone.arms, columns, board_lines(review), "Human review")


def arm_votes(arm: HumanArm) -> int:
    """Votes on an arm, automatic ties included."""
    rate = arm.win_rate
    return rate.wins + rate.losses + rate.ties + rate.both_bad


def board_lines(review: HumanReview) -> list[str]:
    """What the numbers are about: round, raters, agreement, ties."""
    votes = review.everyone
    agreement = numbers.with_interval(votes.alpha_nominal.estimate, SHARE)
    why = f" ({votes.alpha_nominal.why})" if votes.alpha_nominal.why else ""
    lines = [
        f"Round {review.round}, blind, {review.split} prompts, unblinded {review.unblinded.when}: "
        f"{some(votes.votes, 'vote')} by {some(votes.raters, 'rater')} on {some(votes.examples, 'example')}; "
        f"agreement (Krippendorff's alpha) {agreement}{why}.",
        "Wins and half the ties against the other arms of the round; interval clustered by example and by rater.",
        *_few(votes.raters),
    ]
    if votes.automatic:
        lines.append(
            f"{votes.automatic} of the ties stand for {review.automatic_items} items with the same text twice."
        )
    if review.excluded:
        lines.append(f"The declared rule leaves out {len(review.excluded)} of {len(review.raters)} raters.")
    return [*lines, *map(sentence, review.notes)]


_ARMS: Columns[HumanArm] = {
    "arm": lambda arm: arm.arm,
    "human win rate [95 %]": lambda arm: share(arm.win_rate.rate),
    ("won", 2): lambda arm: str(arm.win_rate.wins),
    ("lost", 2): lambda arm: str(arm.win_rate.losses),
    ("tied", 2): lambda arm: str(arm.win_rate.ties),
    ("both bad", 3): lambda arm: str(arm.win_rate.both_bad),
    ("score [95 %]", 1): lambda arm: _log_odds(arm.score),
    ("at equal length [95 %]", 4): lambda arm: _log_odds(arm.at_equal_length),
    "rank": lambda arm: numbers.ranks(arm.ranks),
    "P(best)": lambda arm: numbers.chance(arm.best_probability),
}
_PAIRS: Columns[HumanPair] = {
    "pair": lambda pair: f"{pair.first} over {pair.second}",
    "first wins [95 %]": lambda pair: share(pair.rate.rate) if pair.rate else numbers.ABSENT,
    ("won", 1): lambda pair: str(pair.rate.wins) if pair.rate else numbers.ABSENT,
    ("lost", 1): lambda pair: str(pair.rate.losses) if pair.rate else numbers.ABSENT,
    ("tied", 1): lambda pair: str(pair.rate.ties) if pair.rate else numbers.ABSENT,
    ("both bad", 3): lambda pair: str(pair.rate.both_bad) if pair.rate else numbers.ABSENT,
    "implied by scores [95 %]": lambda pair: share(pair.implied) + (" *" if pair.unbounded else ""),
    ("p", 2): lambda pair: numbers.probability(pair.p_value),
}
_FLAGS: Columns[tuple[str, FlagRate]] = {
    "arm": lambda row: row[0],
    "flag": lambda row: row[1].flag,
    "answers flagged": lambda row: f"{row[1].flagged} of {row[1].answers}",
    "share": lambda row: numbers.fixed(row[1].rate, 3),
    "at most": lambda row: numbers.fixed(row[1].upper, 3),
    ("in votes", 1): lambda row: f"{row[1].flagged_votes} of {row[1].votes}",
}
_RATERS: Columns[HumanRater] = {
    "rater": lambda rater: rater.rater,
    "votes": lambda rater: str(rater.votes),
    "gold right [95 %]": lambda rater: share(rater.gold),
    "identical called alike [95 %]": lambda rater: share(rater.identical),
    "repeats alike": lambda rater: "{} of {}".format(*rater.repeats) if rater.repeats[1] else numbers.ABSENT,
    ("left", 1): lambda rater: "{} of {}".format(*rater.left) if rater.left[1] else numbers.ABSENT,
    ("median s", 2): lambda rater: numbers.seconds(rater.seconds),
    "left out": lambda rater: "yes" if rater.excluded else "no",
}


def review_tables(review: HumanReview, votes: HumanTable) -> list[Table]:
    """Every table of one set of raters."""
    notes = [
        "Win rate: against the other arms as they were met, ties as half wins, both bad in no rate. Score: "
        "Bradley-Terry, log-odds against the mean arm. Intervals are clustered by example and by rater; ranks hold "
        "together.",
        *_few(votes.raters),
        *_reasons([("score", arm.score) for arm in votes.arms]),
        *_reasons([("score at equal length", arm.at_equal_length) for arm in votes.arms]),
    ]
    tables = [table_of(votes.arms, _ARMS, notes, "Arms")]
    if len(review.arms) > 1 and votes.pairs:
        notes = ["p: of no difference in scores, not adjusted for the number of pairs."]
        if any(pair.unbounded for pair in votes.pairs):
            notes.append("* the votes separate the two: any finite difference is too small.")
        tables.append(table_of(votes.pairs, _PAIRS, notes, "Pairs"))
    statistics = [
        ("votes for the left side", votes.left_rate, SHARE),
        ("effect of standing left (log-odds)", votes.side, None),
        ("effect of length (log-odds)", votes.length, None),
        ("agreement: alpha, nominal", votes.alpha_nominal, SHARE),
        ("agreement: alpha, ordinal", votes.alpha_ordinal, SHARE),
        ("self-consistency on swapped repeats", votes.consistency, SHARE),
        *([("blinding index (all raters)", review.blinding, SHARE)] if votes is review.everyone else []),
    ]
    rows = []
    for name, value, bounds in statistics:
        n = str(value.estimate.n) if value.estimate else numbers.ABSENT
        rows.append([name, numbers.with_interval(value.estimate, bounds), n])
    notes = _reasons([(name, value) for name, value, _ in statistics])
    tables.append(table(["statistic", "value [95 %]", "n"], rows, notes, "Bias and agreement"))
    if review.criteria:
        rates = [
            [share(arm.criteria[name].rate) if name in arm.criteria else numbers.ABSENT for name in review.criteria]
            for arm in votes.arms
        ]
        rows = [[arm.arm, *cells] for arm, cells in zip(votes.arms, rates, strict=True)]
        heads = ["arm", *(f"{name} [95 %]" for name in review.criteria)]
        tables.append(table(heads, rows, title="Criteria: win rate on each"))
    if review.flags:
        note = (
            "An answer is flagged when any of its raters flagged it. At most: exact one-sided 95 % limit "
            "(Clopper-Pearson) over answers, each of another example, so that raters of one answer are not counted "
            "apart."
        )
        flags = [(arm.arm, flag) for arm in votes.arms for flag in arm.flags]
        tables.append(table_of(flags, _FLAGS, [note], "Flags"))
    return tables


def _few(raters: int) -> list[str]:
    """What two-way intervals cover with few raters: `bench/coverage.py --review`."""
    if raters == 1:
        return ["One rater: intervals are clustered by example only, and speak about this rater."]
    covered = {2: "91", 3: "93"}.get(raters)
    return [f"{raters} raters are few: such intervals cover about {covered} % in simulations."] if covered else []


def rater_tables(review: HumanReview) -> list[Table]:
    """How every rater did where the right answer is known, and Cohen's kappas of each two of them.

    Of many pairs of raters those with most items in common.
    """
    tables = [table_of(review.raters, _RATERS, [_rule(review)], "Raters")]
    kappas = sorted(review.everyone.kappas, key=lambda kappa: -kappa.n)
    if kappas:
        columns: Columns[Kappa] = {
            "raters": lambda kappa: f"{kappa.first}, {kappa.second}",
            "Cohen's kappa": lambda kappa: kappa.why if kappa.value is None else numbers.fixed(kappa.value, 3),
            "in common": lambda kappa: str(kappa.n),
        }
        rest = len(kappas) - KAPPAS_SHOWN
        notes = [f"{rest} more pairs of raters: --json has them."] if rest > 0 else []
        tables.append(table_of(kappas[:KAPPAS_SHOWN], columns, notes, "Kappas"))
    return tables


def _rule(review: HumanReview) -> str:
    rule = review.rule
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


# ------------------------------------------------------------------------------------------------------------ cells


def share(value: Measured) -> str:
    """A share with its interval."""
    return numbers.with_interval(value.estimate, SHARE)


def _log_odds(odds: Measured) -> str:
    """Log-odds with their interval, two decimals."""
    estimate = odds.estimate
    if estimate is None:
        return numbers.ABSENT
    ends = (estimate.value, estimate.low, estimate.high)
    value, low, high = (end if end is None else numbers.fixed(end, 2, sign=True) for end in ends)
    return f"{value} [-]" if low is None or high is None else f"{value} [{low}, {high}]"


def _reasons(statistics: Sequence[tuple[str, Measured]]) -> list[str]:
    """Why a value is not there, or has no interval; the same reason said once."""
    names: dict[str, list[str]] = {}
    for name, value in statistics:
        if value.estimate is None:
            names.setdefault(value.why, []).append(name)
        elif value.estimate.low is None:
            method = value.estimate.method
            names.setdefault(method.rpartition("; ")[2] or method, []).append(name)
    return [f"No {', '.join(dict.fromkeys(those))}: {why}." for why, those in names.items() if why]
