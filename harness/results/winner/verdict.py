"""The declared winner rule applied to an experiment's results: which arm to ship, in words.

Choosing the best of several arms and then testing it as if it had been named beforehand finds differences that are
not there. So every pair of arms is compared at level 1 - 0.05 / (k - 1), k arms (Bonferroni over the k - 1 comparisons
of one arm with all others: multiple comparisons with the best, Hsu 1981, 1984, without his assumption of one variance).
With a margin d, in the direction of the metric:

    worse   some other arm's lower limit is above d: shown to be worse than it by more than d
    good    every other arm's upper limit is at most d: shown to be at most d worse than any
    open    neither

The truly best arm is *worse* in at most 2.5 % of experiments (only its own k - 1 comparisons can say so), and some arm
that is more than d worse than it is *good* in at most 2.5 % (only comparisons with the truly best arm can say so).
Every verdict that names an arm takes the only one that is not *worse*, or a *good* one; so in at most 5 % of
experiments does it name an arm that is more than d worse than the best. Nothing is claimed of the order of the others.
Where a *good* arm is there and only cheaper ones are open, it is named, and what would settle the saving beside it.

With a margin of 0 no two arms are ever shown to be tied: they are told apart, or the data is too little.
Pure: arms and comparisons come as records and a `Comparer`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.records import Outcome, Question, WinnerRule, WinnerVerdict
from harness.results.winner.pairs import Comparer, Gains
from harness.results.winner.rules import SEEDS_OF_A_METHOD

MOST_EXAMPLES = 100_000
"""More examples than this are not counted: the arms are as good as tied."""
COST_WORDS = {
    "train_seconds": "training time",
    "total_seconds": "total time",
    "peak_memory_bytes": "memory",
    "trainable_parameters": "trainable parameters",
    "adapter_bytes": "file size",
    "latency": "time to the first token",
    "throughput": "time per token at the largest batch",
    "inference_memory": "memory at inference",
}
LESS = {
    "train_seconds": "less training time",
    "total_seconds": "less time",
    "peak_memory_bytes": "less memory",
    "trainable_parameters": "fewer trainable parameters",
    "adapter_bytes": "a smaller file",
    "latency": "a quicker first token",
    "throughput": "less time per token at the largest batch",
    "inference_memory": "less memory at inference",
}


@dataclass(frozen=True, slots=True)
class Contender:
    """An arm that has a value of the primary metric."""

    arm: str
    value: float
    cost: float | None
    """In the rule's cost; None where it is not known."""
    seeds: int
    """0 for an arm without training."""


@dataclass(frozen=True, slots=True)
class Contest:
    """What a verdict is about."""

    contenders: tuple[Contender, ...]
    without_result: tuple[str, ...]
    """Arms that have no value."""
    reference: str
    metric: str
    higher_is_better: bool
    rule: WinnerRule
    estimand: Question
    declaration: str = ""
    """When the rule was declared, in words."""
    stopped: tuple[str, ...] = ()
    """Arms that a race left out: without a value, on validation's evidence."""


def judge(contest: Contest, comparer: Comparer) -> WinnerVerdict:
    """The winner rule's verdict; it has words for every contest, one arm or none included."""
    sign = 1.0 if contest.higher_is_better else -1.0
    ranked = {arm.arm: arm for arm in sorted(contest.contenders, key=lambda arm: -sign * arm.value)}
    names = list(ranked)
    if len(names) < 2:
        words = f"no verdict: only {names[0]} has a result" if names else "no verdict: no arm has a result"
        return WinnerVerdict(
            "no_verdict",
            words,
            _failures(contest),
            None,
            (),
            tuple(names),
            (),
            contest.estimand,
            contest.rule,
            contest.declaration,
            0.95,
        )
    gains = Gains(names, comparer, contest.rule.margin, 1 - 0.05 / (len(names) - 1), sign)
    return _Case(contest, ranked, gains, comparer).verdict()


def _failures(contest: Contest) -> str:
    missing, stopped = contest.without_result, contest.stopped
    words = [f"{listed(missing)} {'has' if len(missing) == 1 else 'have'} no result."] if missing else []
    words += [f"{listed(stopped)} {'was' if len(stopped) == 1 else 'were'} left out by racing."] if stopped else []
    return " ".join(words)


_Sets = tuple[Sequence[str], Sequence[str], Sequence[str]]
"""Good, open and worse arms."""


@dataclass(frozen=True, slots=True)
class _Case:
    """One contest with its comparisons."""

    contest: Contest
    arms: Mapping[str, Contender]
    """Best value first."""
    gains: Gains
    comparer: Comparer

    def verdict(self) -> WinnerVerdict:
        names = list(self.arms)
        worse = [arm for arm in names if self.gains.worse(arm)]
        # Values over differing examples can disagree with differences: the best value always stays.
        worse = [arm for arm in worse if arm != names[0] or len(worse) < len(names)]
        left = [arm for arm in names if arm not in set(worse)]
        good = [arm for arm in left if self.gains.good(arm)]
        undecided = [arm for arm in left if arm not in set(good)]
        sets = (good, undecided, worse)
        seeds = max(arm.seeds for arm in self.arms.values())
        if seeds and self.contest.rule.estimand == "method" and self.contest.estimand != "method":
            wanted = f"give {counted(SEEDS_OF_A_METHOD - seeds, 'more seed')}"
            words = f"not enough data: the rule is about the methods, which takes three seeds; {wanted}"
            return self._close("not_enough_data", words, "", sets)
        reference = self.arms.get(self.contest.reference)
        # The reference, where it is what one has without training anything.
        base = reference.arm if reference is not None and reference.seeds == 0 else None
        if base is not None and (base in good or left == [base]):
            return self._none(base, sets)
        if base is not None and base in undecided:
            return self._open(base, sets)
        if len(left) == 1:
            nearest = min((arm for arm in names if arm != left[0]), key=lambda arm: self.gains.of(left[0], arm).value)
            reason = f"Every other arm is shown to be worse{self._more}; the nearest, {nearest}, "
            reason += f"{self._interval(left[0], nearest)}."
            return self._close("ship", f"ship {left[0]}", reason, sets, arm=left[0])
        cheapest = min(left, key=self._price)
        if cheapest in good:
            return self._tie(cheapest, sets)
        return self._open(None, sets)

    # ------------------------------------------------------------------------------------------------- outcomes

    @property
    def _more(self) -> str:
        margin = self.contest.rule.margin
        return f" by more than {margin:g}" if margin else ""

    def _none(self, base: str, sets: _Sets) -> WinnerVerdict:
        kept = "ship none" if base == "untrained" else f"keep {base}"
        best = max((arm for arm in self.arms if arm != base), key=lambda arm: self.gains.of(arm, base).value)
        reason = f"No arm is better{self._more}; the nearest, {best}, {self._interval(best, base)}."
        return self._close("ship_none", f"nothing beats {base}: {kept}", reason, sets)

    def _between(self, good: Sequence[str]) -> str:
        return f"tie between {listed(sorted(good, key=self.gains.place.__getitem__))}: take "

    def _tie(self, cheapest: str, sets: _Sets) -> WinnerVerdict:
        good, undecided, _ = sets
        margin, what = self.contest.rule.margin, COST_WORDS[self.contest.rule.cost]
        if len(good) == 1:
            reason = (
                f"No arm is better by more than {margin:g}, and {listed(undecided)}, which may be as good, costs more."
            )
            return self._close("ship", f"ship {cheapest}", reason, sets, arm=cheapest)
        other = next(arm for arm in good if arm != cheapest)
        ours, theirs, share = self.arms[cheapest].cost, self.arms[other].cost, self._share(cheapest, other)
        if ours is None or theirs is None:
            saving = f"the better value (the {what} is not known)"
        elif share is None or round(share, 2) == 1:
            saving = f"{'the same' if ours == theirs else 'about the same'} {what}"
        else:
            whose = "the" if len(good) == 2 else f"{other}'s"
            saving = f"{100 * share:.2g} % of {whose} {what}"
        reason = f"They differ by no more than {margin:g} in {self.contest.metric}."
        reason += f" {listed(undecided)} may be as good, and costs more." if undecided else ""
        words = f"{self._between(good)}{cheapest}, {saving}"
        return self._close("tie", words, reason, sets, arm=cheapest, share=share)

    def _open(self, base: str | None, sets: _Sets) -> WinnerVerdict:
        good, undecided, _ = sets
        names = list(self.arms)
        cheapest_good = min(good, key=self._price) if good else None
        blocking = [arm for arm in undecided if cheapest_good is None or self._price(arm) < self._price(cheapest_good)]
        if base is not None and base not in blocking:
            blocking.append(base)
        if cheapest_good is not None and base is None:
            return self._good_enough(cheapest_good, blocking, sets)
        pairs = self._pairs(blocking)
        unknown = list(dict.fromkeys(self.gains.of(*pair).reason for pair in pairs if self.gains.of(*pair).reason))
        leader = self.arms[names[0]]
        reason = f"Best {self.contest.metric} so far: {leader.arm}, {leader.value:.3g}."
        if cheapest_good is not None:
            reason += f" {cheapest_good} is at most {self.contest.rule.margin:g} worse than any arm."
        elif base is None and min(undecided, key=self._price) != leader.arm:
            least = min(undecided, key=self._price)
            reason += f" Of those not shown to be worse {least} costs least, at {self.arms[least].value:.3g}."
        if unknown:
            return self._close("not_enough_data", f"not enough data: {'; '.join(unknown)}", reason, sets)
        others = list(dict.fromkeys(other for other, _ in pairs))
        told = " and ".join(f"{other} from {arm}" for other, arm in pairs)
        if base is not None:
            told = f"whether anything beats {base}"
        elif len(others) == 1:
            told = f"{others[0]} from {listed([arm for _, arm in pairs])}"
        examples, seeds = self._needed(pairs)
        how = _how_much(examples, seeds) or self._out_of_reach(pairs)
        verdict = self._close("not_enough_data", f"not enough data to tell {told}{how}", reason, sets)
        return replace(verdict, more_examples=examples, more_seeds=seeds)

    def _out_of_reach(self, pairs: Sequence[tuple[str, str]]) -> str:
        """Why no number of test examples is named that would settle all `pairs`."""
        first, second = min(pairs, key=lambda pair: abs(self.gains.of(*pair).value - self.contest.rule.margin))
        apart = abs(self.gains.of(first, second).value)
        equal = (
            f"{first} and {second} have the same value" if apart == 0 else f"{first} and {second} differ by {apart:.3g}"
        )
        beside = f", against a margin of {self.contest.rule.margin:g}" if self.contest.rule.margin else ""
        hint = "" if self.contest.rule.margin else "; a margin above 0 in the winner rule would let it call a tie"
        if self.contest.estimand == "method":
            return f": {equal}{beside}; more test examples alone would not settle it, more seeds may"
        return f": {equal}{beside}, which {MOST_EXAMPLES:,} more test examples would not settle{hint}"

    def _good_enough(self, cheapest: str, cheaper: Sequence[str], sets: _Sets) -> WinnerVerdict:
        """An arm that may be shipped, where arms that cost less may be as good: only their saving is open."""
        rule, tied = self.contest.rule, len(sets[0]) > 1
        pairs = self._pairs(cheaper)
        unknown = any(self.gains.of(*pair).reason for pair in pairs)
        examples, seeds = (None, None) if unknown else self._needed(pairs)
        rest = f"{listed(cheaper)} may do for {LESS[rule.cost]}"
        if examples is not None or seeds is not None:
            rest += f"{_how_much(examples, seeds)} would tell"
        least = min(cheaper, key=self._price)
        share = self._share(least, cheapest)
        reason = f"{cheapest} is at most {rule.margin:g} worse than any arm."
        if share is not None:
            reason += f" {least}'s {COST_WORDS[rule.cost]} is {100 * share:.2g} % of its."
        words = f"{self._between(sets[0]) if tied else 'ship '}{cheapest}; {rest}"
        verdict = self._close("tie" if tied else "ship", words, reason, sets, arm=cheapest)
        return replace(verdict, more_examples=examples, more_seeds=seeds)

    def _close(
        self,
        outcome: Outcome,
        words: str,
        reason: str,
        sets: _Sets,
        *,
        arm: str | None = None,
        share: float | None = None,
    ) -> WinnerVerdict:
        contest = self.contest
        good, undecided, worse = sets
        unknown = [arm for arm in (*good, *undecided) if self.arms[arm].cost is None]
        notes = [f"the {COST_WORDS[contest.rule.cost]} of {listed(unknown)} is not known"] if unknown else []
        return WinnerVerdict(
            outcome=outcome,
            words=words,
            reason=" ".join(part for part in (reason, _failures(contest)) if part),
            arm=arm,
            good=tuple(good),
            open=tuple(undecided),
            worse=tuple(worse),
            estimand=contest.estimand,
            rule=contest.rule,
            declaration=contest.declaration,
            level=self.gains.level,
            cost_share=share,
            notes=tuple(notes),
        )

    # --------------------------------------------------------------------------------------------------- pieces

    def _price(self, arm: str) -> tuple[float, int]:
        """Order of cost; unknown last; of equal ones the better value first."""
        cost = self.arms[arm].cost
        return (math.inf if cost is None else cost, self.gains.place[arm])

    def _share(self, arm: str, other: str) -> float | None:
        ours, theirs = self.arms[arm].cost, self.arms[other].cost
        return None if ours is None or not theirs else ours / theirs

    def _interval(self, a: str, b: str) -> str:
        gain = self.gains.of(a, b)
        text = f"by {gain.value:.3g}"
        return text if gain.low is None else f"{text} [{gain.low:.3g}, {gain.high:.3g}]"

    def _pairs(self, blocking: Sequence[str]) -> list[tuple[str, str]]:
        """For each blocking arm the comparison that leaves it open: (another arm, it)."""
        names = list(self.arms)
        pairs: list[tuple[str, str]] = []
        for arm in sorted(blocking, key=self.gains.place.__getitem__, reverse=True):
            others = self.gains.undecided(arm)
            if not others:
                continue
            # The arm with the best value, where that is open; else the one that may be best above this one.
            other = (
                names[0] if names[0] in others else max(others, key=lambda other: self.gains.of(other, arm).high or 0.0)
            )
            if (arm, other) not in pairs:
                pairs.append((other, arm))
        return pairs[::-1]

    def _needed(self, pairs: Sequence[tuple[str, str]]) -> tuple[int | None, int | None]:
        """What settles all pairs: more examples, more seeds."""
        examples: list[int | None] = []
        seeds: list[int | None] = []
        for a, b in pairs:
            gap = abs(self.gains.of(a, b).value - self.contest.rule.margin)
            more, draws = self.comparer.needed(a, b, gap, self.gains.level) if gap > 0 else (None, None)
            examples.append(more)
            seeds.append(draws)
        known = [more for more in examples if more is not None and more <= MOST_EXAMPLES]
        draws_known = [draws for draws in seeds if draws is not None]
        return (
            _rounded_up(max(known)) if known and len(known) == len(pairs) else None,
            max(draws_known) if draws_known and len(draws_known) == len(pairs) else None,
        )


def _how_much(examples: int | None, seeds: int | None) -> str:
    """`: about 900 more test examples or 2 more seeds`; empty where neither is known."""
    ways = [f"{examples:,} more test examples"] if examples is not None else []
    ways += [counted(seeds, "more seed")] if seeds is not None else []
    return f": about {' or '.join(ways)}" if ways else ""


def _rounded_up(number: float) -> int:
    """To two digits, upwards: more would pretend to know."""
    size = int(10 ** max(0, math.floor(math.log10(max(number, 1))) - 1))
    return max(1, math.ceil(number / size) * size)


def counted(number: int, thing: str) -> str:
    """`1 seed`, `2 seeds`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else list(names))
