"""What may be seen of a round while it is open: an interval that holds at every look, and that names no arm.

Whoever watches may be a reviewer too, and unblinding is an act of its own. So the interval is of how often the more
preferred of the two answers is preferred, whichever arm's it is: the limits of the first arm's win rate, folded at one
half. It is symmetric in the arms, and holds whenever theirs does.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.results.human.votes import RoundVotes
from harness.stats.votes import Vote, VoteTable, monitored_win_rate


@dataclass(frozen=True, slots=True)
class Monitored:
    """Of pairs whose answers differ, the share in which one arm is preferred (ties count half), not saying which."""

    examples: int
    """Examples that have all their votes; only those count."""
    low: float
    """At least one half."""
    high: float
    level: float
    settled: bool
    """Whether the interval leaves out one half."""

    @property
    def words(self) -> str:
        """A line for people."""
        if not self.examples:
            return "no example has all its votes yet, so nothing can be said"
        how = "settled" if self.settled else "not settled yet"
        return (
            f"one of the two is preferred in {100 * self.low:.1f} to {100 * self.high:.1f} % of comparisons "
            f"({how}; {self.examples} examples, {100 * self.level:.0f} %, holds at every look)"
        )


def preferred(round_votes: RoundVotes, *, level: float = 0.95) -> Monitored:
    """The folded anytime-valid interval of a round of two arms; from 0.5 to 1 before an example has all its votes.

    Items with the same text on both sides are left out: which items those are does not hang on chance. *Both bad* is
    in no rate.
    """
    sources = round_votes.round.evaluations
    names = {sources[round_votes.round.arms[0]]: "first", sources[round_votes.round.arms[1]]: "second"}
    rows = [
        Vote(a.example, names[a.left], names[a.right], vote.rater, vote.winner)  # type: ignore[arg-type]
        for a, vote in round_votes.judged("ordinary")
    ]
    if not rows:
        return Monitored(0, 0.5, 1.0, level, False)
    measured = monitored_win_rate(VoteTable.of(rows), "first", "second", round_votes.round.raters, level=level).estimate
    if measured is None or measured.low is None or measured.high is None:
        return Monitored(0, 0.5, 1.0, level, False)
    ends = sorted((abs(measured.low - 0.5), abs(measured.high - 0.5)))
    settled = not measured.low <= 0.5 <= measured.high
    return Monitored(measured.clusters, 0.5 + ends[0] if settled else 0.5, 0.5 + ends[1], level, settled)
