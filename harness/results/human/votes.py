"""The votes of a review round, joined with what was judged: whose, how well the raters did, whom the rule leaves out.

Pure: what reads a round from a store makes a `RoundVotes`, and everything here is made of it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.errors import ReviewError
from harness.records import Assignment, AssignmentKind, Guess, Judgment, Round, Winner

GOOD, BAD = "gold:good", "gold:bad"
"""Sources of gold answers begin so."""


@dataclass(frozen=True, slots=True)
class RoundVotes:
    """A round with its assignments and the votes that stand on them; the owner's view, before unblinding too."""

    round: Round
    assignments: tuple[Assignment, ...]
    votes: Mapping[str, Judgment]
    """Token → the vote of the highest revision, whatever it says."""
    guesses: tuple[Guess, ...] = ()
    lengths: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """(Example, source) → characters of the answer; empty where the round came without texts."""
    _by_kind: dict[str, list[tuple[Assignment, Judgment]]] = field(default_factory=dict, init=False, compare=False)
    """Sorted out once: the statistics ask for each kind many times."""

    def __post_init__(self) -> None:
        for a in self.assignments:
            vote = self.votes.get(a.token)
            if vote is not None and is_vote(vote):
                self._by_kind.setdefault(a.kind, []).append((a, vote))

    @property
    def arm_of(self) -> dict[str, str]:
        """The arm that each source's answers are of."""
        return {source: name for name, source in self.round.evaluations.items()}

    def judged(self, kind: AssignmentKind) -> list[tuple[Assignment, Judgment]]:
        """Assignments of a kind with a vote that counts."""
        return self._by_kind.get(kind, [])


Ballots = tuple[Sequence[Assignment], Sequence[Judgment], Sequence[Guess], Mapping[tuple[str, str], int]]
"""Of a round, as the store has it: assignments, every vote on them, closing guesses, and the length of each text."""


def joined(round_: Round, ballots: Ballots) -> RoundVotes:
    """A round with the votes that stand on it."""
    assignments, votes, guesses, lengths = ballots
    return RoundVotes(round_, tuple(assignments), standing(votes), tuple(guesses), lengths)


@dataclass(frozen=True, slots=True)
class RaterQuality:
    """How one rater did where the right answer is known: counts of (passed, judged)."""

    rater: str
    votes: int
    gold: tuple[int, int]
    identical: tuple[int, int]
    repeats: tuple[int, int]
    left: int
    """Ordinary votes for the left answer, of `decided` that chose a side."""
    decided: int


def standing(votes: Sequence[Judgment]) -> dict[str, Judgment]:
    """Token → its vote of the highest revision."""
    newest: dict[str, Judgment] = {}
    for vote in votes:
        if vote.assignment not in newest or newest[vote.assignment].revision < vote.revision:
            newest[vote.assignment] = vote
    return newest


def counts(winner: str | None) -> bool:
    """Whether this is a judgment: neither none, nor skipped, nor taken back."""
    return winner not in (None, "skip", "undone")


def is_vote(vote: Judgment | None) -> bool:
    """Whether there is a judgment that counts."""
    return vote is not None and counts(vote.winner)


def require_unblinded(round_: Round) -> None:
    """Raise ReviewError while nobody may know which arm is which."""
    if round_.unblinded is None:
        hint = f'`harness review unblind {round_.id} --reason "…"` closes it and is logged'
        raise ReviewError(f"the round {round_.id} is not unblinded", hint=hint)


def qualities(voted_round: RoundVotes) -> list[RaterQuality]:
    """Every rater on gold, identical and repeated pairs, by name. Tells nothing of the arms."""
    ordinary = voted_round.judged("ordinary")
    first = {(vote.rater, a.item): _chosen(a, vote) for a, vote in ordinary}
    passed: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for a, vote in voted_round.judged("gold"):
        passed[vote.rater, "gold"].append(vote.winner == better_side(a))
    for _, vote in voted_round.judged("identical"):
        passed[vote.rater, "identical"].append(vote.winner in ("tie", "both_bad"))
    for a, vote in voted_round.judged("repeat"):
        if (vote.rater, a.item) in first:
            passed[vote.rater, "repeat"].append(first[vote.rater, a.item] == _chosen(a, vote))
    for _, vote in ordinary:
        if vote.winner in ("left", "right"):
            passed[vote.rater, "left"].append(vote.winner == "left")
    votes = Counter(vote.rater for _, vote in ordinary)

    def of(rater: str, kind: str) -> tuple[int, int]:
        answers = passed.get((rater, kind), [])
        return sum(answers), len(answers)

    return [
        RaterQuality(
            rater, votes[rater], of(rater, "gold"), of(rater, "identical"), of(rater, "repeat"), *of(rater, "left")
        )
        for rater in sorted({*votes, *(rater for rater, _ in passed)})
    ]


def better_side(gold: Assignment) -> Winner:
    """Where the good answer of a gold pair stands."""
    return "left" if gold.left.startswith(GOOD) else "right"


def _chosen(a: Assignment, vote: Judgment) -> str:
    """What was chosen, whatever the sides: a source, or a tie of either kind."""
    return {"left": a.left, "right": a.right}.get(vote.winner, "tie")


def excluded_raters(voted_round: RoundVotes) -> dict[str, str]:
    """Rater → why the rule that was declared at opening leaves them out."""
    rule = voted_round.round.exclusion
    reasons: dict[str, str] = {}
    for rater in qualities(voted_round):
        for what, (good, all_), least in (
            ("gold pairs right", rater.gold, rule.gold_accuracy),
            ("identical pairs called a tie", rater.identical, rule.identical_ties),
            ("repeats judged alike", rater.repeats, rule.repeat_agreement),
        ):
            if least is not None and all_ >= rule.at_least and good / all_ < least:
                reasons.setdefault(rater.rater, f"{good} of {all_} {what}, fewer than {least:.0%}")
    return reasons
