"""Opens a review round over an experiment: answers, gold pairs, a sealed seed, the plan, and the texts to show."""

from __future__ import annotations

import itertools
import json
import random
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.data import rows
from harness.errors import ReviewError
from harness.experiments.loading.load import find_experiment, load_experiment
from harness.experiments.loading.suites import is_suite
from harness.progress import Reporter
from harness.records import Assignment, Example, Practice, ReviewText, Round, Stamp, to_json
from harness.results import stored
from harness.results.human.votes import BAD, GOOD
from harness.review.answers import Answers, Request, count_looks, generated_answers, stored_answers
from harness.review.blind import DEFAULT_INSTRUCTIONS, DEFAULT_QUESTION, iso, utc_now
from harness.review.lifecycle import open_round
from harness.review.plan import Design, Item, Material, fillers_for, plan_round

Text = tuple[str, str, str]
"""Example, source, text."""


def open_experiment(home: Path, experiment: str, request: Request, who: str, reporter: Reporter) -> Round:
    """Open a round over arms of a stored experiment and store it.

    Answers to the test split are the stored ones. For `validation` or `prompts` the experiment is given as its file,
    and the finished models answer. Raises HarnessError for whatever cannot be.
    """
    if len(set(request.arms)) < 2 or len(set(request.arms)) != len(request.arms):
        raise ReviewError("a round compares two or more different arms", hint="Name them with --arms a,b")
    seed = secrets.randbits(63)
    answers = _answers(home, experiment, request, seed, reporter)
    asked = _asked(experiment, answers)
    draw = random.Random(seed)
    design, gold, examples = _design(request, answers, draw)
    sources = [answers.evaluations[arm] for arm in request.arms]
    if len(set(sources)) != len(sources):
        raise ReviewError("two of these arms are the same model, with the same answers", hint="Name other arms")
    same = frozenset() if request.ask_identical else _same(answers, request.arms, examples)
    round_id = f"r{secrets.token_hex(4)}"
    material = Material(
        [example.id for example in examples], sources, same, list(dict.fromkeys(example for example, _, _ in gold))
    )
    assignments = plan_round(round_id, material, design, seed)
    practice = asked.get("practice")
    round_ = Round(
        id=round_id,
        experiment=answers.record.experiment_id,
        arms=request.arms,
        evaluations={arm: answers.evaluations[arm] for arm in request.arms},
        split=answers.split,
        items=design.items,
        raters=design.raters,
        queues=design.queues,
        seed=seed,
        instructions=request.instructions or asked.get("instructions") or DEFAULT_INSTRUCTIONS,
        criteria=tuple(asked.get("criteria") or ()),
        flags=tuple(asked.get("flags") or ()),
        exclusion=request.exclusion,
        gold=design.gold,
        identical=design.identical,
        repeats=design.repeats,
        opened=Stamp(iso(utc_now()), who),
        practice=Practice(**practice) if practice else None,
        render=asked.get("render") or "text",
        question=asked.get("question") or DEFAULT_QUESTION,
        reservation_minutes=request.minutes,
        sensitive=bool(answers.task.get("sensitive")),
    )
    needed = {a.example for a in assignments}
    texts = [ReviewText(round_id, *parts) for parts in [*_texts(answers), *gold] if parts[0] in needed]
    if round_.split == "test":
        count_looks(home, answers)
    open_round(stored.open_store(home), round_, assignments, texts)
    return round_


def _answers(home: Path, experiment: str, request: Request, seed: int, reporter: Reporter) -> Answers:
    if not request.validation and request.prompts is None:
        return stored_answers(home, experiment, request)
    if not experiment.endswith((".yaml", ".yml")):
        raise ReviewError(
            "for other prompts than the test split's the models must answer anew",
            hint="Give the experiment's file in place of its name",
        )
    return generated_answers(Path(experiment), home, request, seed, reporter)


def _asked(experiment: str, answers: Answers) -> Mapping[str, Any]:
    """The task's `review`: as its file says now, where the experiment was given as one, else as it was stored.

    How people are asked changes no result that is stored, so it may be written after the run.
    """
    file = find_experiment(Path(experiment))
    if experiment.endswith((".yaml", ".yml")) and file.is_file() and not is_suite(file):
        review = load_experiment(file).task.review
        return review.model_dump(mode="json") if review is not None else {}
    return answers.task.get("review") or {}


def _design(request: Request, answers: Answers, draw: random.Random) -> tuple[Design, list[Text], tuple[Example, ...]]:
    """How much is judged, the texts of gold pairs, and the examples that are left for items.

    Gold pairs are made of examples that are needed for no item, where there are enough.
    """
    pairs = len(list(itertools.combinations(request.arms, 2)))
    items = request.items if request.items is not None else len(answers.examples) * pairs
    queues = request.reviewers if request.reviewers is not None else request.raters
    suits = fillers_for(items * request.raters // max(1, queues))
    asked = (request.gold, request.identical, request.repeats)
    gold, identical, repeats = (count if count is not None else own for count, own in zip(asked, suits, strict=True))
    if request.gold_file is not None:
        gold = gold if request.gold is not None else max(gold, 1)
        design = Design(items, request.raters, queues, gold, identical, repeats)
        return design, read_gold(request.gold_file), answers.examples
    usable = [example for example in answers.examples if example.references]
    if gold and not usable:
        if request.gold is not None:
            hint = "Give --gold-file with prompt, good and bad"
            raise ReviewError("without reference answers no gold pairs can be made", hint=hint)
        gold = 0
    chosen = draw.sample(usable, min(gold, len(usable)))
    needed = -(-items // pairs)
    kept = answers.examples
    if len(answers.examples) - len(chosen) >= max(needed, 2):
        set_aside = {example.id for example in chosen}
        kept = tuple(example for example in answers.examples if example.id not in set_aside)
    texts = make_gold(chosen, answers, request.arms, draw)
    return Design(items, request.raters, queues, gold if texts else 0, identical, repeats), texts, kept


def make_gold(chosen: Sequence[Example], answers: Answers, arms: Sequence[str], draw: random.Random) -> list[Text]:
    """The reference of each chosen example against what some arm answered to another prompt: clearly wrong."""
    texts: list[Text] = []
    for example in chosen:
        good = example.references[0].strip()
        others = [
            text
            for arm in arms
            for name, text in sorted(answers.texts[arm].items())
            if name != example.id and text.strip() and text.strip() != good
        ]
        if others:
            texts += [(example.id, GOOD, example.references[0]), (example.id, BAD, draw.choice(others))]
    return texts


def read_gold(path: Path) -> list[Text]:
    """The owner's gold pairs: csv or jsonl with `prompt`, `good` and `bad`. Raises ReviewError with the line."""
    gold_columns = {"prompt": "prompt", GOOD: "good", BAD: "bad"}
    if not path.is_file():
        raise ReviewError(f"no such file: {path}", hint="A gold file has the columns prompt, good and bad")
    texts: list[Text] = []
    for number, row in enumerate(rows.read_file(path), 1):
        cells = {name: row.values.get(name) for name in gold_columns.values()}
        for name, value in cells.items():
            if not isinstance(value, str) or not value.strip():
                raise ReviewError(f"{row.where}: {name} is missing or empty", hint="A gold pair has prompt, good, bad")
        example = f"gold/{number}"
        texts += [(example, source, str(cells[name])) for source, name in gold_columns.items()]
    if not texts:
        raise ReviewError(f"{path}: holds no gold pair", hint="A gold pair has prompt, good and bad")
    return texts


def _same(answers: Answers, arms: Sequence[str], examples: Sequence[Example]) -> frozenset[Item]:
    """Items whose two answers are the same but for white space at the ends."""
    return frozenset(
        (example.id, answers.evaluations[first], answers.evaluations[second])
        for first, second in itertools.combinations(arms, 2)
        for example in examples
        if answers.texts[first][example.id].strip() == answers.texts[second][example.id].strip()
    )


def _texts(answers: Answers) -> list[Text]:
    """Everything that may be shown."""
    shown = []
    for example in answers.examples:
        shown.append((example.id, "prompt", shown_prompt(example)))
        if example.messages is not None:
            shown.append((example.id, "turns", json.dumps(to_json(example.messages), ensure_ascii=False)))
        if example.references:
            shown.append((example.id, "reference", example.references[0]))
    for arm, texts in answers.texts.items():
        shown += [(example.id, answers.evaluations[arm], texts[example.id]) for example in answers.examples]
    return shown


def shown_prompt(example: Example) -> str:
    """What a reviewer reads as the prompt: the text, or a conversation turn by turn."""
    if example.messages is None:
        return example.prompt or ""
    names = {"system": "System", "user": "User", "assistant": "Assistant"}
    return "\n\n".join(f"{names.get(turn.role, turn.role)}: {turn.content}" for turn in example.messages)


def summary(round_: Round, assignments: Sequence[Assignment]) -> list[str]:
    """What `open` prints: nothing that a reviewer must not see."""
    queues = Counter(a.queue for a in assignments if a.queue is not None)
    lengths = [queues.get(number, 0) for number in range(round_.queues)]
    automatic = sum(a.kind == "automatic" for a in assignments)
    extra = f"{round_.gold} gold, {round_.identical} identical and {round_.repeats} repeated pairs"
    return [
        f"opened round {round_.id}: {round_.items} items over the {round_.split} prompts, {round_.raters} raters each",
        f"{round_.queues} queues of {min(lengths)} to {max(lengths)} pairs, {extra} in each",
        f"{automatic} items have the same text on both sides: counted as ties, asked of nobody",
        f"next: harness review invite {round_.id} NAME",
    ]
