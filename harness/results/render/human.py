"""What people said, as tables: of a whole round, and one more metric of each arm of a leaderboard."""

from __future__ import annotations

from collections.abc import Sequence

from harness.records import Stamp
from harness.results import numbers
from harness.results.human.records import HumanArm, HumanReview, HumanTable
from harness.results.leaderboard.rows import Leaderboard
from harness.results.render.table import Head, Table, table
from harness.results.render.words import sentence, some
from harness.results.render.writers import Part, printed
from harness.stats.votes import Measured, WinRate

SHARE = (0.0, 1.0)
KAPPAS_SHOWN = 15


def human_view(review: HumanReview) -> list[Part]:
    """The results of a round: what was judged, and every table of every set of raters."""
    parts: list[Part] = [*heading(review)]
    for title, tables in human_sections(review):
        parts += ["", title.upper()] if title else []
        for one in tables:
            parts += ["", one]
    return parts


print_human, human_to_text = printed(human_view)


def heading(review: HumanReview) -> list[str]:
    """What was judged by whom, and when."""
    all_ = review.everyone
    lines = [
        f"Round {review.round}: {' against '.join(review.arms)} over {review.split} prompts. {review.items} items for "
        f"{some(review.raters_per_item, 'rater')} each; {all_.votes} of {review.wanted} votes by "
        f"{some(all_.raters, 'rater')} on {some(all_.examples, 'example')}.",
        "; ".join(
            _stamp(what, stamp)
            for what, stamp in (("Opened", review.opened), ("closed", review.closed), ("unblinded", review.unblinded))
        )
        + ".",
    ]
    if review.automatic_items:
        lines.append(
            f"On {review.automatic_items} items both wrote the same text: ties that nobody was asked about. They stand "
            "in rates and scores once for each planned rater, and nowhere else."
        )
    lines += map(sentence, review.notes)
    return [*lines, *(f"Left out by the declared rule: {one.rater} ({one.excluded})." for one in review.excluded)]


def _stamp(what: str, stamp: Stamp) -> str:
    return f"{what} {stamp.when}" + (f" by {stamp.who}" if stamp.who else "") + (f" ({stamp.why})" if stamp.why else "")


def human_sections(review: HumanReview) -> list[tuple[str, list[Table]]]:
    """Sections with a title: all raters, without those that the rule leaves out, the raters themselves."""
    parts = [("All raters" if review.excluded else "", review_tables(review, review.everyone))]
    if review.without is not None:
        who = ", ".join(one.rater for one in review.excluded)
        parts.append((f"Without {who}", review_tables(review, review.without)))
    return [*parts, ("Raters", rater_tables(review))]


# ----------------------------------------------------------------------------------------------------------- tables


def board_rates(board: Leaderboard) -> Table | None:
    """The human win rate of every arm of a leaderboard; None without an unblinded round."""
    review = board.human
    if review is None:
        return None
    without = review.without
    heads: list[Head] = [
        "human review",
        "human win rate ↑ [95 %]",
        "rank",
        ("P(best)", 1),
        ("score [95 %]", 2),
        "votes",
    ]
    rows = []
    for arm in review.everyone.arms:
        rate = arm.win_rate
        cells = [arm.arm, share(rate.rate), numbers.ranks(arm.ranks), numbers.chance(arm.best_probability)]
        cells += [_log_odds(arm.score), str(arm_votes(arm))]
        if without is not None:
            same = without.of(arm.arm)
            cells.append(share(same.win_rate.rate) if same is not None else numbers.ABSENT)
        rows.append(cells)
    heads += ["without left out [95 %]"] if without is not None else []
    return table(heads, rows, board_lines(review), "Human review")


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


def review_tables(review: HumanReview, votes: HumanTable) -> list[Table]:
    """Every table of one set of raters."""
    return [
        _arms(votes),
        *([_pairs(votes)] if len(review.arms) > 1 and votes.pairs else []),
        _statistics(review, votes),
        *([_criteria(review, votes)] if review.criteria else []),
        *([_flags(votes)] if review.flags else []),
    ]


def _arms(votes: HumanTable) -> Table:
    heads: list[Head] = [
        *("arm", "human win rate [95 %]", ("won", 2), ("lost", 2), ("tied", 2), ("both bad", 3)),
        *(("score [95 %]", 1), ("at equal length [95 %]", 4), "rank", "P(best)"),
    ]
    rows = [
        [
            arm.arm,
            share(arm.win_rate.rate),
            *_counts(arm.win_rate),
            _log_odds(arm.score),
            _log_odds(arm.at_equal_length),
            numbers.ranks(arm.ranks),
            numbers.chance(arm.best_probability),
        ]
        for arm in votes.arms
    ]
    notes = [
        "Win rate: against the other arms as they were met, ties as half wins, both bad in no rate. Score: "
        "Bradley-Terry, log-odds against the mean arm. Intervals are clustered by example and by rater; ranks hold "
        "together.",
        *_few(votes.raters),
        *_reasons([("score", arm.score) for arm in votes.arms]),
        *_reasons([("score at equal length", arm.at_equal_length) for arm in votes.arms]),
    ]
    return table(heads, rows, notes, "Arms")


def _few(raters: int) -> list[str]:
    """What two-way intervals cover with few raters: `bench/coverage.py --review`."""
    if raters == 1:
        return ["One rater: intervals are clustered by example only, and speak about this rater."]
    covered = {2: "91", 3: "93"}.get(raters)
    return [f"{raters} raters are few: such intervals cover about {covered} % in simulations."] if covered else []


def _counts(rate: WinRate) -> tuple[str, str, str, str]:
    """Won, lost, tied, both bad."""
    return str(rate.wins), str(rate.losses), str(rate.ties), str(rate.both_bad)


def _pairs(votes: HumanTable) -> Table:
    heads: list[Head] = [
        *("pair", "first wins [95 %]", ("won", 1), ("lost", 1), ("tied", 1), ("both bad", 3)),
        *("implied by scores [95 %]", ("p", 2)),
    ]
    rows = [
        [
            f"{pair.first} over {pair.second}",
            share(pair.rate.rate) if pair.rate else numbers.ABSENT,
            *(_counts(pair.rate) if pair.rate else (numbers.ABSENT,) * 4),
            share(pair.implied) + (" *" if pair.unbounded else ""),
            numbers.probability(pair.p_value),
        ]
        for pair in votes.pairs
    ]
    notes = ["p: of no difference in scores, not adjusted for the number of pairs."]
    if any(pair.unbounded for pair in votes.pairs):
        notes.append("* the votes separate the two: any finite difference is too small.")
    return table(heads, rows, notes, "Pairs")


def _statistics(review: HumanReview, votes: HumanTable) -> Table:
    statistics = [
        ("votes for the left side", votes.left_rate, SHARE),
        ("effect of standing left (log-odds)", votes.side, None),
        ("effect of length (log-odds)", votes.length, None),
        ("agreement: alpha, nominal", votes.alpha_nominal, SHARE),
        ("agreement: alpha, ordinal", votes.alpha_ordinal, SHARE),
        ("self-consistency on swapped repeats", votes.consistency, SHARE),
        *([("blinding index (all raters)", review.blinding, SHARE)] if votes is review.everyone else []),
    ]
    rows = [
        [name, numbers.with_interval(one.estimate, bounds), str(one.estimate.n) if one.estimate else numbers.ABSENT]
        for name, one, bounds in statistics
    ]
    notes = _reasons([(name, one) for name, one, _ in statistics])
    return table(["statistic", "value [95 %]", "n"], rows, notes, "Bias and agreement")


def _criteria(review: HumanReview, votes: HumanTable) -> Table:
    rows = [
        [arm.arm, *(share(arm.criteria[name].rate) if name in arm.criteria else "-" for name in review.criteria)]
        for arm in votes.arms
    ]
    heads = ["arm", *(f"{name} [95 %]" for name in review.criteria)]
    return table(heads, rows, title="Criteria: win rate on each")


def _flags(votes: HumanTable) -> Table:
    rows = [
        [
            arm.arm,
            flag.flag,
            f"{flag.flagged} of {flag.answers}",
            numbers.fixed(flag.rate, 3),
            numbers.fixed(flag.upper, 3),
            f"{flag.flagged_votes} of {flag.votes}",
        ]
        for arm in votes.arms
        for flag in arm.flags
    ]
    note = (
        "An answer is flagged when any of its raters flagged it. At most: exact one-sided 95 % limit (Clopper-Pearson) "
        "over answers, each of another example, so that raters of one answer are not counted apart."
    )
    return table(["arm", "flag", "answers flagged", "share", "at most", ("in votes", 1)], rows, [note], "Flags")


def rater_tables(review: HumanReview) -> list[Table]:
    """How every rater did where the right answer is known, and Cohen's kappas of each two of them.

    Of many pairs of raters those with most items in common.
    """
    heads: list[Head] = [
        *("rater", "votes", "gold right [95 %]", "identical called alike [95 %]", "repeats alike", ("left", 1)),
        *(("median s", 2), "left out"),
    ]
    rows = [
        [
            rater.rater,
            str(rater.votes),
            share(rater.gold),
            share(rater.identical),
            _of(rater.repeats),
            _of(rater.left),
            numbers.seconds(rater.seconds),
            "yes" if rater.excluded else "no",
        ]
        for rater in review.raters
    ]
    raters = table(heads, rows, [_rule(review)], "Raters")
    kappas = sorted(review.everyone.kappas, key=lambda kappa: -kappa.n)
    pairs = [
        [f"{one.first}, {one.second}", numbers.fixed(one.value, 3) if one.value is not None else one.why, str(one.n)]
        for one in kappas[:KAPPAS_SHOWN]
    ]
    rest = len(kappas) - len(pairs)
    notes = [f"{rest} more pairs of raters: --json has them."] if rest else []
    return [raters, *([table(["raters", "Cohen's kappa", "in common"], pairs, notes, "Kappas")] if pairs else [])]


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


def share(one: Measured) -> str:
    """A share with its interval."""
    return numbers.with_interval(one.estimate, SHARE)


def _log_odds(one: Measured) -> str:
    """Log-odds with their interval, two decimals."""
    estimate = one.estimate
    if estimate is None:
        return numbers.ABSENT
    value, *limits = (
        end if end is None else numbers.fixed(end, 2, sign=True)
        for end in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value} [-]" if None in limits else f"{value} [{limits[0]}, {limits[1]}]"


def _of(counted: tuple[int, int]) -> str:
    return f"{counted[0]} of {counted[1]}" if counted[1] else numbers.ABSENT


def _reasons(statistics: Sequence[tuple[str, Measured]]) -> list[str]:
    """Why a value is not there, or has no interval; the same reason said once."""
    names: dict[str, list[str]] = {}
    for name, one in statistics:
        if one.estimate is None:
            names.setdefault(one.why, []).append(name)
        elif one.estimate.low is None:
            names.setdefault(one.estimate.method.rpartition("; ")[2] or one.estimate.method, []).append(name)
    return [f"No {', '.join(dict.fromkeys(those))}: {why}." for why, those in names.items() if why]
