"""Chooses what each tuning trial tries, from equal search budgets, and which trial wins; pure, and alone to use optuna.

Every trained arm gets the same number of trials over its own space. The first is the recipe as it stands, so that
tuning cannot do worse than no tuning on validation, and a published default is always among what was tried. The others
are spread evenly: with the few trials that fine-tuning can afford, a model of the response (TPE) has nothing to learn
from, and random draws leave holes. `tpe` is there for more trials.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from harness.config import ArmSpec, DpoSpec, RangeSpec, Search, Setting, TuningSpec
from harness.errors import SpecError
from harness.records import Trial, digest

Values = dict[str, Setting]
"""Field → value of one trial."""
DIGITS = 3
"""Significant digits of a value in a range: enough for any purpose, and the same on every machine."""
RUNGS = (1 / 9, 1 / 3, 1.0)
"""Shares of the budget in successive halving (Jamieson and Talwalkar 2016, reduction factor 3)."""
NEVER = frozenset(
    {"name", "method", "path", "search", "evaluations", "parent", "like", "examples", "micro_batch_size", "type"}
)
"""Fields of an arm that tuning may not touch: they are no settings, or change what the arm is given."""


@dataclass(frozen=True, slots=True)
class TrialResult:
    """One finished trial: its values, and its result, higher being better; None where it failed."""

    values: Mapping[str, Setting]
    result: float | None


# --------------------------------------------------------------------------------------------------------- spaces


def space(arm: ArmSpec, tuning: TuningSpec) -> Search:
    """What is searched for an arm: its own `search`, and the experiment's learning rate where that has none.

    Raises SpecError for a field that the arm does not have or may not change, a value that it refuses, nothing to
    search, and a space with fewer settings than trials.
    """
    search: Search = {}
    own: Search = getattr(arm, "search", {})
    if "learning_rate" not in own and tuning.learning_rate is not None:
        search["learning_rate"] = _around(arm, tuning) if tuning.learning_rate == "log" else tuning.learning_rate
    search |= own
    check_search(arm, search)
    if not search:
        hint = "Give it `search`, or set tuning.learning_rate"
        raise SpecError("tuning has nothing to search for this arm", hint=hint)
    size = _size(arm, search)
    if size is not None and size < tuning.trials:
        raise SpecError(
            f"its search space holds {size} settings, and every arm gets {tuning.trials} trials",
            field="search",
            hint="Add choices, give a range, or lower tuning.trials for all arms",
        )
    return search


def check_search(arm: ArmSpec, search: Search) -> None:
    """Raise SpecError for a field of `search` that the arm does not have, or a value that it refuses."""
    for name, values in search.items():
        field_name = f"search.{name}"
        if name not in tunable(arm):
            fields = ", ".join(tunable(arm))
            raise SpecError(f"{arm.method} has no such field to tune", field=field_name, hint=f"It has {fields}")
        ends = [values.low, values.high] if isinstance(values, RangeSpec) else list(values)
        if isinstance(values, RangeSpec) and not _is_number(current(arm, name)):
            raise SpecError("a range is for numbers", field=field_name, hint="Give a list of choices")
        if len({repr(end) for end in ends}) != len(ends):
            raise SpecError("a choice is given twice", field=field_name, hint="Keep one of them")
        for end in ends:
            try:
                apply(arm, {name: _typed(arm, name, end)})
            except ValidationError as error:
                reason = error.errors(include_url=False)[0]["msg"]
                raise SpecError(f"{end} cannot be: {reason}", field=field_name, hint="Mend the search space") from None


def tunable(arm: ArmSpec) -> dict[str, tuple[str, ...]]:
    """The fields that `search` may hold for an arm, each with its path in the arm's own structure."""
    written = arm.model_dump()
    sections = {section: written.get(section, {}) for section in ("optimiser", "lora")}
    paths: dict[tuple[str, ...], Any] = {
        (name,): value for name, value in written.items() if not isinstance(value, Mapping)
    }
    paths |= {(section, name): value for section, inner in sections.items() for name, value in inner.items()}
    fields: dict[str, tuple[str, ...]] = {}
    for path, value in paths.items():
        if value is not None and path[-1] not in NEVER:
            fields.setdefault(path[-1], path)
    return fields | {f"config.{name}": ("config", name) for name in written.get("config", {})}


def current(arm: ArmSpec, name: str) -> Any:
    """The value of a tunable field as the recipe has it."""
    value: Any = arm.model_dump()
    for part in tunable(arm)[name]:
        value = value[part]
    return value


def apply(arm: ArmSpec, values: Mapping[str, Setting]) -> ArmSpec:
    """The arm with these values, and nothing left to search. Raises pydantic's ValidationError."""
    written = arm.model_dump() | {"search": {}}
    for name, value in values.items():
        *outer, last = tunable(arm)[name]
        inside = written
        for part in outer:
            inside = inside[part]
        inside[last] = value
    return type(arm).model_validate(written)


def _around(arm: ArmSpec, tuning: TuningSpec) -> RangeSpec:
    rate = float(current(arm, "learning_rate"))
    return RangeSpec(low=_rounded(rate / tuning.factor), high=_rounded(rate * tuning.factor), log=True)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _typed(arm: ArmSpec, name: str, value: Setting) -> Setting:
    """A value of a range as the field has it: whole where the recipe's value is whole, else with few digits."""
    now = current(arm, name)
    if not _is_number(value) or not _is_number(now):
        return value
    number = float(value)
    if isinstance(now, int):
        return round(number)
    return number if number == now else _rounded(number)


def _size(arm: ArmSpec, search: Search) -> int | None:
    """How many settings a space holds; None where a range of real numbers is among its fields."""
    size = 1
    for name, values in search.items():
        if not isinstance(values, RangeSpec):
            size *= len(values)
        elif isinstance(current(arm, name), int):
            size *= math.floor(values.high) - math.ceil(values.low) + 1
        else:
            return None
    return size


# ------------------------------------------------------------------------------------------------------ proposals


def stock(arm: ArmSpec, search: Search) -> Values | None:
    """The recipe's own values, where the space holds all of them."""
    recipe: Values = {}
    for name, values in search.items():
        now = current(arm, name)
        inside = values.low <= now <= values.high if isinstance(values, RangeSpec) else now in values
        if not inside:
            return None
        recipe[name] = now
    return recipe


def propose(arm: ArmSpec, search: Search, results: Sequence[TrialResult], tuning: TuningSpec) -> list[Values]:
    """The next values to try, all of which may be trained at once; empty when there are enough trials.

    `even`: all trials at once. `tpe`: half of them so, then one after another. The same arguments give the same answer.
    """
    first = tuning.trials if tuning.sampler == "even" else max(2, tuning.trials // 2)
    if len(results) >= tuning.trials:
        return []
    if len(results) < first:
        return even(arm, search, first, tuning.seed)[len(results) :]
    return [_modelled(arm, search, results, tuning)]


def even(arm: ArmSpec, search: Search, count: int, seed: int) -> list[Values]:
    """`count` distinct settings, the recipe's own first.

    One range: an even grid on its scale, laid from the recipe's value to both ends (one more above than below where
    the others do not divide by two). Choices: the list, cut. Several fields: Optuna's scrambled Halton sequence.
    """
    own = stock(arm, search)
    settings = [own] if own is not None else []
    if len(search) == 1:
        name, values = next(iter(search.items()))
        line = _grid(values, own[name] if own else None, count) if isinstance(values, RangeSpec) else list(values)
        settings += [{name: _typed(arm, name, value)} for value in line]
    else:
        settings += [_settle(arm, row) for row in _halton(search, own, count * 4, seed)]
    # Rounding can make neighbours equal, and a short sequence can miss choices: what is left is filled in order.
    return list(itertools.islice(_distinct(itertools.chain(settings, _filling(arm, search))), count))


def _grid(values: RangeSpec, middle: Setting | None, count: int) -> list[float]:
    """`count` - 1 points beside `middle` (without one: `count`), evenly on the range's scale, both ends among them."""
    low, high = _forward(values, values.low), _forward(values, values.high)
    if not isinstance(middle, (int, float)):
        return [_back(values, low + (high - low) * step / max(1, count - 1)) for step in range(count)]
    centre, below = _forward(values, float(middle)), (count - 1) // 2
    if centre in (low, high):
        below = count - 1 if centre == high else 0
    above = count - 1 - below
    points = [centre - (centre - low) * step / below for step in range(1, below + 1)]
    points += [centre + (high - centre) * step / above for step in range(1, above + 1)]
    return [_back(values, point) for point in points]


def _forward(values: RangeSpec, value: float) -> float:
    return math.log(value) if values.log else value


def _back(values: RangeSpec, value: float) -> float:
    return min(values.high, max(values.low, math.exp(value) if values.log else value))


def _halton(search: Search, own: Values | None, count: int, seed: int) -> list[Values]:
    """`count` draws of a scrambled Halton sequence (categories: at random)."""
    optuna = _optuna()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it calls itself experimental
        sampler = optuna.samplers.QMCSampler(
            qmc_type="halton", scramble=True, seed=seed, warn_independent_sampling=False
        )
    study = optuna.create_study(sampler=sampler)
    distributions = _distributions(search)
    # The sequence starts after a first trial, from which the sampler takes the space.
    ends = {name: values.low if isinstance(values, RangeSpec) else values[0] for name, values in search.items()}
    first = ends if own is None else own
    study.add_trial(optuna.trial.create_trial(params=first, distributions=distributions, value=0.0))
    return [dict(study.ask(distributions).params) for _ in range(count)]


def _modelled(arm: ArmSpec, search: Search, results: Sequence[TrialResult], tuning: TuningSpec) -> Values:
    """What Optuna's tree-structured Parzen estimator would try next; a failed trial counts as the worst so far."""
    optuna = _optuna()
    distributions = _distributions(search)
    worst = min((trial.result for trial in results if trial.result is not None), default=0.0)
    seed = int(digest([tuning.seed, len(results)], 8), 16)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=0)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for trial in results:
        value = worst if trial.result is None else trial.result
        # A value that was rounded may lie a hair outside its range.
        params = {name: _inside(search[name], tried) for name, tried in trial.values.items()}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=value))
    tried = {digest(dict(trial.values)) for trial in results}
    for _ in range(50):
        values = _settle(arm, study.ask(distributions).params)
        if digest(values) not in tried:
            return values
    return next(values for values in _filling(arm, search) if digest(values) not in tried)


def _optuna() -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _distributions(search: Search) -> dict[str, Any]:
    distributions = _optuna().distributions
    return {
        name: distributions.FloatDistribution(values.low, values.high, log=values.log)
        if isinstance(values, RangeSpec)
        else distributions.CategoricalDistribution(values)
        for name, values in search.items()
    }


def _inside(values: RangeSpec | list[Setting], value: Setting) -> Setting:
    return min(values.high, max(values.low, float(value))) if isinstance(values, RangeSpec) else value


def _settle(arm: ArmSpec, row: Mapping[str, Setting]) -> Values:
    return {name: _typed(arm, name, value) for name, value in row.items()}


def _filling(arm: ArmSpec, search: Search) -> Iterator[Values]:
    """Settings in a fixed order, every one of a finite space among them."""
    lines: list[list[Setting]] = []
    for name, values in search.items():
        if isinstance(values, RangeSpec) and isinstance(current(arm, name), int):
            lines.append(list(range(math.ceil(values.low), math.floor(values.high) + 1)))
        else:
            line = _grid(values, None, 101) if isinstance(values, RangeSpec) else values
            lines.append([_typed(arm, name, value) for value in line])
    for row in itertools.product(*lines):
        yield dict(zip(search, row, strict=True))


def _distinct(rows: Iterable[Values]) -> Iterator[Values]:
    """Each setting once, where it first stood."""
    seen = set[str]()
    for row in rows:
        name = digest(row)
        if name not in seen:
            seen.add(name)
            yield row


# --------------------------------------------------------------------------------------------------------- choice


def result(trial: Trial, arm: ArmSpec, tuning: TuningSpec, direction: str) -> float | None:
    """What a trial is chosen by, higher being better; None where it has no result."""
    if trial.status != "ok":
        return None
    if tuning.choose_by == "loss" and not isinstance(arm, DpoSpec):
        return None if trial.loss is None else -trial.loss
    if trial.value is None:
        return None
    return trial.value if direction == "higher" else -trial.value


def best(trials: Sequence[Trial], results: Sequence[float | None]) -> Trial | None:
    """The trial with the best result among those with the largest share of the budget; None when none has a result.

    Equal results: the lower validation loss, then the recipe's own setting, then the earlier trial.
    """
    scored = [(trial, value) for trial, value in zip(trials, results, strict=True) if value is not None]
    if not scored:
        return None
    full = max(trial.share for trial, _ in scored)

    def rank(pair: tuple[Trial, float]) -> tuple[float, float, bool, int]:
        trial, value = pair
        return -value, math.inf if trial.loss is None else trial.loss, not trial.stock, trial.number

    return min((pair for pair in scored if pair[0].share == full), key=rank)[0]


def edge(chosen: Trial, trials: Sequence[Trial]) -> tuple[str, ...]:
    """Fields of numbers whose chosen value is the smallest or largest that was tried: the best may lie beyond.

    A trial that diverged counts as tried: the best does not lie there.
    """
    fields = []
    for name, value in chosen.values.items():
        tried = {trial.values[name] for trial in trials}
        if all(map(_is_number, tried)) and len(tried) > 1 and value in (min(tried), max(tried)):
            fields.append(name)
    return tuple(fields)


def survivors(results: Sequence[tuple[int, float | None]], trials: int, rung: int) -> list[int]:
    """Numbers of the trials that go on to `rung` (1, 2) of successive halving: the best third, then the best ninth.

    `results` are (number, result) of the rung before; ties go to the earlier trial.
    """
    count = -(-trials // 3**rung)
    scored = sorted((-value, number) for number, value in results if value is not None)
    return sorted(number for _, number in scored[:count])
