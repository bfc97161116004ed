"""Pretrain the embedded base model: python baselines/base/pretrain.py --work WORK --minutes 95

Resumable: the state is written to WORK every two minutes and on SIGTERM; the same command goes on. `--export FOLDER`
writes the newest state as a model folder and leaves; `--measure-only` prints what the newest state can do. A run that
is under way reads WORK/control.json every 20 steps: {"threads": 1, "decay": false}. With "decay": true, or when only
its share of the time is left, the learning rate falls to zero over the last quarter of all steps, and the run ends.
`--extend MINUTES` takes an ended run further: the rate climbs to its peak again and falls linearly to zero over these
minutes. Once begun, the same command without it resumes.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import domains  # noqa: E402
import measuring  # noqa: E402
import package_text  # noqa: E402
import wiring  # noqa: E402

END, PAD = "<|endoftext|>", "<|pad|>"


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that determines the model, beside the time that it is given."""

    seed: int = 20261122
    vocabulary: int = 2048
    hidden: int = 192
    layers: int = 4
    heads: int = 4
    theta: float = 1e6
    intermediate: int = 512
    context: int = 2048
    tokens_per_step: int = 4096
    early_tokens_per_step: int = 2048
    early_steps: int = 600
    drill_shares: tuple[float, float] = (0.3, 0.04)
    novel_from: int = 2800
    long_share: float = 0.2
    prose_share: float = 0.12
    packed_share: float = 0.55
    speech_weight: float = 0.3
    learning_rate: float = 2e-3
    warmup_steps: int = 100
    decay_share: float = 0.25
    weight_decay: float = 0.05
    clip: float = 1.0


RECIPE = Recipe()


# --- text ------------------------------------------------------------------------------------------------------------


def prepare_prose(work: Path) -> dict[str, Any]:
    """Package text for training and for measuring, kept in the work folder."""
    path = work / "prose.json"
    if not path.exists():
        rng = Random(RECIPE.seed)
        known = package_text.standard_library_runs()
        train, versions = package_text.collect(rng, package_text.PACKAGES, 500_000, known)
        held, held_versions = package_text.collect(rng, package_text.HELD_OUT, 60_000, known)
        path.write_text(
            json.dumps({"train": train, "held": held, "versions": versions, "held_versions": held_versions})
        )
    return dict(json.loads(path.read_text()))


def make_tokenizer(prose: list[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE with digits apart, trained on the pretraining mix."""
    rng = Random(RECIPE.seed + 1)
    texts = []
    for _ in range(4000):
        texts += [d.prompt + d.note for d in domains.documents(rng, rng.choice(domains.SEEN), 1)]
    texts += [piece for piece in prose if len(piece) < 4000][:700]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=RECIPE.vocabulary,
            special_tokens=[END, PAD],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END,
        eos_token=END,
        pad_token=PAD,
        model_max_length=RECIPE.context,
        clean_up_tokenization_spaces=False,
    )


class Mix:
    """Training sequences: the same seed, step and row always give the same tokens."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, prose: list[str]) -> None:
        self.encode = tokenizer.backend_tokenizer.encode
        self.end = tokenizer.eos_token_id
        self.blank = self.encode("\n\n").ids
        self.prose = prose
        self.novelty = domains.Novelty(domains.novel_words(prose))

    def _document(self, document: domains.Document) -> tuple[list[int], list[float]]:
        prompt, note = self.encode(document.prompt).ids, self.encode(document.note).ids
        return prompt + note, [RECIPE.speech_weight] * len(prompt) + [1.0] * len(note)

    def _prose(self, rng: Random, length: int) -> tuple[list[int], list[float]]:
        ids: list[int] = []
        while len(ids) <= length:
            ids += [*self.encode(rng.choice(self.prose)).ids, self.end]
        return ids, [0.5] * len(ids)

    def _drill(self, rng: Random, length: int) -> tuple[list[int], list[float]]:
        """Copying drills: what comes again can be foretold from above, and only that carries the full weight."""
        ids: list[int] = []
        weights: list[float] = []
        while len(ids) <= length:
            for text, weight in domains.drill(rng):
                more = self.encode(text).ids
                ids += more
                weights += [weight] * len(more)
            ids.append(self.end)
            weights.append(1.0)
        return ids, weights

    def sequence(
        self, rng: Random, length: int, drills: float, novelty: domains.Novelty | None
    ) -> tuple[list[int], list[float]]:
        """One sequence of `length` + 1 tokens and the weights of their losses."""
        if rng.random() < drills:
            ids, weights = self._drill(rng, length)
            return ids[: length + 1], weights[: length + 1]
        draw = rng.random()
        if draw < RECIPE.prose_share:
            ids, weights = self._prose(rng, length)
            return ids[: length + 1], weights[: length + 1]
        packed = draw < RECIPE.prose_share + RECIPE.packed_share
        ids, weights = [], []
        while len(ids) <= length:
            blank = packed and rng.random() < 0.6
            made = domains.documents(rng, rng.choice(domains.SEEN), rng.randint(3, 6) if packed else 1, novelty)
            for index, document in enumerate(made):
                more, heavy = self._document(document)
                ids += more
                weights += heavy
                last = index == len(made) - 1
                ids += self.blank if blank and not last else [self.end]
                weights += [1.0] * len(self.blank if blank and not last else [self.end])
                if len(ids) > length:
                    break
        return ids[: length + 1], weights[: length + 1]

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids and loss weights of one step."""
        rng = Random(RECIPE.seed * 1_000_003 + step)
        early = step < RECIPE.early_steps
        length = 1024 if rng.random() < RECIPE.long_share else 512
        length = length // 2 if early else length
        first, last = RECIPE.drill_shares
        drills = last + (first - last) * min(1.0, max(0.0, 2.0 - 3.0 * step / RECIPE.early_steps))
        number = (RECIPE.early_tokens_per_step if early else RECIPE.tokens_per_step) // length
        novelty = self.novelty if step >= RECIPE.novel_from else None
        rows = [self.sequence(rng, length, drills, novelty) for _ in range(number)]
        return torch.tensor([ids for ids, _ in rows]), torch.tensor([weights for _, weights in rows])


# --- training --------------------------------------------------------------------------------------------------------


def build_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A fresh model."""
    torch.manual_seed(RECIPE.seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=RECIPE.hidden, intermediate_size=RECIPE.intermediate,
            num_hidden_layers=RECIPE.layers, num_attention_heads=RECIPE.heads, num_key_value_heads=RECIPE.heads,
            max_position_embeddings=RECIPE.context, tie_word_embeddings=True, initializer_range=0.02,
            rope_parameters={"rope_type": "default", "rope_theta": RECIPE.theta},
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )  # fmt: skip
    wiring.wire_copying(model, torch.Generator().manual_seed(RECIPE.seed))
    return model


def optimiser_for(model: LlamaForCausalLM) -> torch.optim.AdamW:
    """AdamW without decay on vectors and embeddings."""
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    rest = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    groups = [{"params": matrices, "weight_decay": RECIPE.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=RECIPE.learning_rate, betas=(0.9, 0.95), fused=True)


@dataclass(slots=True)
class Progress:
    """Where the run stands."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    decay_from: int | None = None
    decay_steps: int = 0
    extended_step: int | None = None
    extended_seconds: float = 0.0
    extension_seconds: float = 0.0

    def extend(self, minutes: float) -> None:
        """Go on from here for so many minutes."""
        self.extended_step, self.extended_seconds, self.extension_seconds = self.step, self.seconds, minutes * 60

    @property
    def ended(self) -> bool:
        """Whether the learning rate has reached zero."""
        if self.extended_step is not None:
            return self.seconds >= self.extended_seconds + self.extension_seconds
        return self.decay_from is not None and self.step >= self.decay_from + self.decay_steps


class Run:
    """A resumable training run in a work folder."""

    def __init__(self, work: Path, minutes: float) -> None:
        work.mkdir(parents=True, exist_ok=True)
        self.work, self.minutes = work, minutes
        self.prose = prepare_prose(work)
        if not (work / "tokenizer").exists():
            make_tokenizer(self.prose["train"]).save_pretrained(work / "tokenizer")
        self.tokenizer = PreTrainedTokenizerFast.from_pretrained(work / "tokenizer")
        self.mix = Mix(self.tokenizer, self.prose["train"])
        self.model = build_model(self.tokenizer)
        self.optimiser = optimiser_for(self.model)
        self.progress = Progress()
        self.stop = False
        if (work / "state.pt").exists():
            state = torch.load(work / "state.pt", weights_only=True)
            self.model.load_state_dict(state["model"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.progress = Progress(**state["progress"])

    def save(self) -> None:
        """Write the state, replacing the former one at once."""
        partial = self.work / "state.partial"
        state = {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "progress": asdict(self.progress),
        }
        torch.save(state, partial)
        partial.replace(self.work / "state.pt")

    def log(self, text: str) -> None:
        """A plain line to the log file and to the terminal."""
        line = f"{time.strftime('%H:%M:%S')} {text}"
        print(line, flush=True)
        with (self.work / "train.log").open("a") as log:
            log.write(line + "\n")

    def control(self) -> dict[str, Any]:
        """What the control file says now."""
        try:
            return dict(json.loads((self.work / "control.json").read_text()))
        except (FileNotFoundError, ValueError):
            return {}

    def rate(self) -> float:
        """The learning rate of this step: warm-up, stable, and a decay to zero."""
        at = self.progress
        if at.extended_step is not None:
            climb = min(1.0, (at.step - at.extended_step + 1) / RECIPE.warmup_steps)
            gone = (at.seconds - at.extended_seconds) / at.extension_seconds
            return RECIPE.learning_rate * climb * max(0.0, 1.0 - gone)
        scale = min(1.0, (at.step + 1) / RECIPE.warmup_steps)
        if at.decay_from is not None:
            scale *= max(0.0, 1.0 - (at.step - at.decay_from) / at.decay_steps)
        return RECIPE.learning_rate * scale

    def step(self) -> float:
        """One optimiser step; returns the weighted loss."""
        ids, weights = self.mix.batch(self.progress.step)
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate()
        logits = self.model(ids[:, :-1], use_cache=False).logits
        losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
        heavy = weights[:, 1:].flatten()
        loss = (losses * heavy).sum() / heavy.sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), RECIPE.clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.progress.step += 1
        self.progress.tokens += ids[:, 1:].numel()
        return loss.item()

    def maybe_decay(self, asked: bool) -> None:
        """Start the decay when asked, or when what is left of the time is its share."""
        at = self.progress
        left = self.minutes * 60 - at.seconds
        if at.decay_from is None and (asked or left <= RECIPE.decay_share * self.minutes * 60) and at.step:
            at.decay_from = at.step
            at.decay_steps = max(200, int(at.step * RECIPE.decay_share / (1 - RECIPE.decay_share)))
            self.log(f"decay over {at.decay_steps} steps")

    def train(self, measure_minutes: float) -> None:
        """Train until the decay has ended or a signal comes."""
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, lambda *_: setattr(self, "stop", True))
        at, last, saved, measured, losses = self.progress, time.monotonic(), time.monotonic(), at_seconds(self), []
        tokens_then, then = at.tokens, time.monotonic()
        while not self.stop and not at.ended:
            if at.step % 20 == 0:
                control = self.control()
                torch.set_num_threads(int(control.get("threads", 2)))
                self.maybe_decay(bool(control.get("decay")))
            losses.append(self.step())
            now = time.monotonic()
            at.seconds, last = at.seconds + now - last, now
            if at.step % 20 == 0:
                speed = (at.tokens - tokens_then) / (now - then)
                mean = sum(losses) / len(losses)
                total = self.minutes if at.extended_step is None else (at.extended_seconds + at.extension_seconds) / 60
                left = max(0.0, total - at.seconds / 60)
                where = f"step {at.step} tokens {at.tokens} loss {mean:.4f} lr {self.rate():.2e}"
                self.log(f"{where} {speed:.0f} tok/s {left:.0f} min left")
                losses, tokens_then, then = [], at.tokens, now
            if now - saved > 120:
                self.save()
                saved = time.monotonic()
            if at.seconds - measured > measure_minutes * 60:
                measured = at.seconds
                self.report()
                last = then = time.monotonic()
                tokens_then = at.tokens
        self.save()
        self.report()

    def report(self) -> None:
        """Log what the model can do."""
        found = measuring.measure(self.model, self.tokenizer, self.prose["held"])
        self.log(f"MEASURE step {self.progress.step} " + " | ".join(f"{k} {v:.3f}" for k, v in found.items()))


def at_seconds(run: Run) -> float:
    """Seconds of training so far."""
    return run.progress.seconds


def export(run: Run, folder: Path) -> None:
    """Write model and tokenizer as a folder that transformers loads; the weights are rounded to bfloat16."""
    partial = folder / ".partial"
    model = build_model(run.tokenizer)
    model.load_state_dict(run.model.state_dict())
    model.to(torch.bfloat16).save_pretrained(partial)
    run.tokenizer.save_pretrained(partial)
    config = json.loads((partial / "config.json").read_text())
    (partial / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    for path in sorted(partial.iterdir()):
        path.replace(folder / path.name)
    partial.rmdir()
    (folder / "model.safetensors").chmod(0o644)


def main() -> None:
    """Train or export, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--work", type=Path, required=True, help="folder for the state, the log and the control file")
    parser.add_argument("--minutes", type=float, default=95.0, help="training time, the decay included")
    parser.add_argument("--extend", type=float, metavar="MINUTES", help="take an ended run this much further")
    parser.add_argument("--measure", type=float, default=10.0, help="minutes between two measurements")
    parser.add_argument("--export", type=Path, help="write the newest state as a model folder and leave")
    parser.add_argument("--measure-only", type=int, metavar="N", help="measure the newest state on N items and leave")
    asked = parser.parse_args()
    run = Run(asked.work, asked.minutes)
    if asked.export:
        export(run, asked.export)
    elif asked.measure_only:
        found = measuring.measure(run.model, run.tokenizer, run.prose["held"], asked.measure_only)
        print(json.dumps(found | measuring.by_domain(run.model, run.tokenizer, asked.measure_only), indent=2))
    else:
        if asked.extend:
            run.progress.extend(asked.extend)
        run.log(f"parameters {run.model.num_parameters()} recipe {asdict(RECIPE)}")
        run.train(asked.measure)
        if not run.stop:
            export(run, HERE)


if __name__ == "__main__":
    main()
