"""Which results may stand in one ranking: those of one environment, and of others that a sentinel has accepted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.records import Evaluation, Move, SentinelCheck, differences, digest
from harness.results import numbers
from harness.results.collect import Results, by_arm, scored


@dataclass(frozen=True, slots=True)
class Environments:
    """The environments of one experiment's results."""

    known: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Fingerprint → environment, the ranking's own first."""
    of_arm: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Arm → fingerprints of its evaluations; none for an endpoint, whose environment is the server's."""
    unranked: Mapping[str, str] = field(default_factory=dict)
    """Arm that must not be ranked with the others → what changed between their environment and its own."""
    mixed: frozenset[str] = frozenset()
    """Arms whose own seeds were scored in environments that nothing links: they have no value."""
    checks: tuple[SentinelCheck, ...] = ()
    """Checks between these environments, the last of each pair."""

    def why(self, arm: str) -> str:
        """Why `arm` is not ranked, for its cells; empty when it is."""
        change = self.unranked.get(arm, "")
        if arm in self.mixed:
            return f"its seeds were scored in different environments ({change})"
        return f"scored in another environment ({change})" if change else ""


def fingerprint(environment: Mapping[str, Any]) -> str | None:
    """Identity of an environment; None where it is not known or is a server's own."""
    if not environment or environment.get("device") == "remote":
        return None
    return digest(environment)


def examine(results: Results) -> Environments:
    """Sort the arms by environment. The ranking's environment is the reference's, else that of most arms."""
    evaluations = {evaluation.eval_id: evaluation for evaluation in results.evaluations}
    by_print: dict[str, Mapping[str, Any]] = {}
    of_arm: dict[str, tuple[str, ...]] = {}
    for arm, entries in by_arm(scored(results.entries)).items():
        own_evaluations = [evaluations[entry.eval_id] for entry in entries if entry.eval_id in evaluations]
        of_arm[arm] = _fingerprints(own_evaluations, by_print)
    # The last check of each pair of environments, whichever way it went.
    checks = {frozenset(_pair(check)): check for check in results.sentinels}
    root = _linked(by_print, [check for check in checks.values() if check.accepted])
    roots = {arm: {root[name] for name in prints} for arm, prints in of_arm.items()}
    reference = str(results.experiment.spec.get("reference", "untrained"))
    own = _own(roots, reference)
    if own is None:
        return Environments()
    # The reference's environment stands for the others that are linked with it, where it is known.
    firsts = [*of_arm.get(reference, ())[:1], *(name for prints in of_arm.values() for name in prints)]
    first = by_print[next(name for name in firsts if root[name] == own)]
    unranked: dict[str, str] = {}
    for arm, prints in of_arm.items():
        foreign = [by_print[name] for name in prints if root[name] != own]
        if foreign:
            unranked[arm] = "; ".join(dict.fromkeys(", ".join(differences(first, other)) for other in foreign))
    ordered = dict(sorted(by_print.items(), key=lambda item: root[item[0]] != own))
    mixed = frozenset(arm for arm, of_seeds in roots.items() if len(of_seeds) > 1)
    here = tuple(check for check in checks.values() if by_print.keys() >= set(_pair(check)))
    return Environments(ordered, of_arm, unranked, mixed, here)


def _pair(check: SentinelCheck) -> tuple[str, str]:
    """Fingerprints of the two environments of a check."""
    return digest(check.environment_before), digest(check.environment_after)


def notes(environments: Environments, file: str) -> tuple[str, ...]:
    """What a reader must know, and the way on."""
    lines = []
    if environments.unranked:
        arms_of: dict[str, list[str]] = {}
        for arm, change in environments.unranked.items():
            arms_of.setdefault(change, []).append(arm)
        what = "; ".join(f"{', '.join(arms)}: {change}" for change, arms in arms_of.items())
        lines.append(f"not ranked with the others, because scored in another environment: {what}")
        failed = [told(check) for check in environments.checks if not check.accepted]
        lines += failed or [
            f"`harness sentinel {file}` scores a frozen run again in the present environment, and accepts when it "
            "moves less than its interval"
        ]
        if failed:
            lines.append(f"`harness run {file} --rescore` scores every arm again in the present environment")
    lines += [told(check) for check in environments.checks if check.accepted]
    return tuple(lines)


def sentinel_lines(checks: Sequence[SentinelCheck]) -> list[str]:
    """What `harness sentinel` prints."""
    if not checks:
        return ["nothing to check: every result was made in the present environment, or in one accepted with it"]
    return [told(check) for check in checks]


def told(check: SentinelCheck) -> str:
    """A check in words: what changed, what moved, and what follows."""
    change = ", ".join(differences(check.environment_before, check.environment_after))
    verdict = "results of both stand in one ranking" if check.accepted else "results of both are not ranked together"
    shown = [move for move in check.moves if not move.within] or check.moves[:1]
    moved = ", ".join(map(_moved, shown)) or "no metric could be compared"
    return (
        f"sentinel {check.arm} ({check.when[:10]}; {change}): {check.changed_answers} of {check.answers} answers "
        f"differ; {moved}; {verdict}"
    )


def _moved(move: Move) -> str:
    if move.difference.value == move.difference.low == move.difference.high == 0:
        return f"every {move.metric} is the same"
    width = ((move.frozen.high or 0.0) - (move.frozen.low or 0.0)) / 2
    word = "within" if move.within else "beyond"
    moved = numbers.with_interval(move.difference, None, sign=True)
    return f"{move.metric} moved {moved}, {word} ±{width:.3g}"


def _fingerprints(evaluations: Sequence[Evaluation], by_print: dict[str, Mapping[str, Any]]) -> tuple[str, ...]:
    prints: list[str] = []
    for environment in (evaluation.environment for evaluation in evaluations):
        same = (name for name, other in by_print.items() if other == environment)
        name = next(same, None) or fingerprint(environment)
        if name is not None:
            by_print.setdefault(name, environment)
            prints.append(name)
    return tuple(dict.fromkeys(prints))


def _linked(fingerprints: Mapping[str, Any], accepted: Sequence[SentinelCheck]) -> dict[str, str]:
    """Each environment's representative among those that accepted checks link, directly or by way of others."""
    root = {name: name for name in fingerprints}
    for check in accepted:
        a, b = (root.setdefault(name, name) for name in _pair(check))
        root = {name: a if representative == b else representative for name, representative in root.items()}
    return root


def _own(roots: Mapping[str, set[str]], reference: str) -> str | None:
    """The representative of the ranking's environment."""
    if len(roots.get(reference, ())) == 1:
        return next(iter(roots[reference]))
    counts = Counter(name for of_seeds in roots.values() for name in of_seeds)
    return max(counts, key=counts.__getitem__) if counts else None
