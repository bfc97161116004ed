"""Which results may stand in one ranking: those of one environment, and of others that a sentinel has accepted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.records import Entry, Evaluation, Move, SentinelCheck, differences, digest
from harness.results import numbers
from harness.results.collect import Results


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


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """What differs, on one line."""
    return ", ".join(differences(before, after))


def examine(results: Results) -> Environments:
    """Sort the arms by environment. The ranking's environment is the reference's, else that of most arms."""
    evaluations = {one.eval_id: one for one in results.evaluations}
    by_print: dict[str, Mapping[str, Any]] = {}
    of_arm: dict[str, tuple[str, ...]] = {}
    for arm, entries in _by_arm(results.entries).items():
        own_evaluations = [evaluations[entry.eval_id] for entry in entries if entry.eval_id in evaluations]
        of_arm[arm] = _fingerprints(own_evaluations, by_print)
    checks = _checks(results.sentinels)
    root = _linked(by_print, [check for check in checks if check.accepted])
    roots = {arm: {root[one] for one in prints} for arm, prints in of_arm.items()}
    own = _own(roots, str(results.experiment.spec.get("reference", "untrained")))
    if own is None:
        return Environments()
    first = by_print[next(one for prints in of_arm.values() for one in prints if root[one] == own)]
    reference = of_arm.get(str(results.experiment.spec.get("reference", "untrained")), ())
    if reference and root[reference[0]] == own:
        first = by_print[reference[0]]
    unranked: dict[str, str] = {}
    for arm, prints in of_arm.items():
        foreign = [by_print[one] for one in prints if root[one] != own]
        if foreign:
            unranked[arm] = "; ".join(dict.fromkeys(changes(first, one) for one in foreign))
    ordered = dict(sorted(by_print.items(), key=lambda item: root[item[0]] != own))
    mixed = frozenset(arm for arm, of_seeds in roots.items() if len(of_seeds) > 1)
    here = tuple(check for check in checks if {_before(check), _after(check)} <= by_print.keys())
    return Environments(ordered, of_arm, unranked, mixed, here)


def notes(environments: Environments, file: str) -> tuple[str, ...]:
    """What a reader must know, and the way on."""
    lines = []
    if environments.unranked:
        what = "; ".join(f"{', '.join(arms)}: {change}" for change, arms in _inverted(environments.unranked).items())
        failed = [check for check in environments.checks if not check.accepted]
        lines.append(f"not ranked with the others, because scored in another environment: {what}")
        if failed:
            lines += [told(check) for check in failed]
            lines.append(f"`harness run {file} --rescore` scores every arm again in the present environment")
        else:
            lines.append(
                f"`harness sentinel {file}` scores a frozen run again in the present environment, and accepts when it "
                "moves less than its interval"
            )
    lines += [told(check) for check in environments.checks if check.accepted]
    return tuple(lines)


def sentinel_lines(checks: Sequence[SentinelCheck]) -> list[str]:
    """What `harness sentinel` prints."""
    if not checks:
        return ["nothing to check: every result was made in the present environment, or in one accepted with it"]
    return [told(check) for check in checks]


def told(check: SentinelCheck) -> str:
    """A check in words: what changed, what moved, and what follows."""
    change = changes(check.environment_before, check.environment_after)
    verdict = "results of both stand in one ranking" if check.accepted else "results of both are not ranked together"
    moved = ", ".join(_moved(move) for move in check.moves if not move.within) or ", ".join(
        _moved(move) for move in check.moves[:1]
    )
    return (
        f"sentinel {check.arm} ({check.when[:10]}; {change}): {check.changed_answers} of {check.answers} answers "
        f"differ; {moved or 'no metric could be compared'}; {verdict}"
    )


def _moved(move: Move) -> str:
    if move.difference.value == move.difference.low == move.difference.high == 0:
        return f"every {move.metric} is the same"
    width = ((move.frozen.high or 0.0) - (move.frozen.low or 0.0)) / 2
    word = "within" if move.within else "beyond"
    moved = numbers.with_interval(move.difference, None, sign=True)
    return f"{move.metric} moved {moved}, {word} ±{width:.3g}"


def _fingerprints(evaluations: Sequence[Evaluation], by_print: dict[str, Mapping[str, Any]]) -> tuple[str, ...]:
    prints = []
    for one in evaluations:
        same = (identity for identity, environment in by_print.items() if environment == one.environment)
        identity = next(same, None) or fingerprint(one.environment)
        if identity is not None:
            by_print.setdefault(identity, one.environment)
            prints.append(identity)
    return tuple(dict.fromkeys(prints))


def _checks(sentinels: Sequence[SentinelCheck]) -> list[SentinelCheck]:
    """The last check of each pair of environments, whichever way it went."""
    last: dict[frozenset[str], SentinelCheck] = {}
    for check in sentinels:
        last[frozenset((_before(check), _after(check)))] = check
    return list(last.values())


def _before(check: SentinelCheck) -> str:
    return digest(check.environment_before)


def _after(check: SentinelCheck) -> str:
    return digest(check.environment_after)


def _linked(fingerprints: Mapping[str, Any], accepted: Sequence[SentinelCheck]) -> dict[str, str]:
    """Each environment's representative among those that accepted checks link, directly or by way of others."""
    root: dict[str, str] = {one: one for one in fingerprints}
    for check in accepted:
        a, b = (root.setdefault(one, one) for one in (_before(check), _after(check)))
        root = {one: a if found == b else found for one, found in root.items()}
    return root


def _own(roots: Mapping[str, set[str]], reference: str) -> str | None:
    """The representative of the ranking's environment."""
    if len(roots.get(reference, ())) == 1:
        return next(iter(roots[reference]))
    counts: dict[str, int] = {}
    for found in roots.values():
        for one in found:
            counts[one] = counts.get(one, 0) + 1
    return max(counts, key=lambda one: counts[one]) if counts else None


def _by_arm(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    arms: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.status == "ok" and entry.eval_id is not None:
            arms.setdefault(entry.arm, []).append(entry)
    return arms


def _inverted(unranked: Mapping[str, str]) -> dict[str, list[str]]:
    arms: dict[str, list[str]] = {}
    for arm, change in unranked.items():
        arms.setdefault(change, []).append(arm)
    return arms
