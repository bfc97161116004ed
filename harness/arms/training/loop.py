"""One training loop for every trained arm: transformers' Trainer for the steps, ours for what must be exact.

Trainer does forward, backward, accumulation, clipping, stepping and scheduling. It is handed the rows in their final
order, an optimiser and a schedule. Everything else hangs on its public callbacks: the training log, the ledger,
validation, checkpoints that are whole or not there, stopping on a signal, and stopping when training diverges.
Trainer's own checkpoints are not used: they are not atomic, and do not hold the ledger.

A resumed training is bit-identical to an undisturbed one: weights, optimiser, schedule, random states and position
come back, validation draws no random numbers, and batches are a function of position alone.

A step that runs out of memory is done again with half the micro-batch; the effective batch stays what it was.
"""

from __future__ import annotations

import gc
import inspect
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from transformers import Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from harness.arms import Progress
from harness.arms.training import losses, packing
from harness.arms.training.job import Job, Objective, memory_errors, mixed
from harness.arms.training.memory import is_out_of_memory
from harness.arms.training.recorder import Recorder
from harness.arms.training.stopping import StopFlag
from harness.config import OptimiserSpec
from harness.errors import ArmFailed, SpecError
from harness.models import library_configs
from harness.records import Ledger, LibraryConfig

# Trainer collects garbage when it starts, and walks half a million objects of the imported libraries (0.4 s). They live
# as long as the process does, so they are set aside here, once, before any model is loaded.
gc.freeze()


def seed_training(seed: int) -> None:
    """Seed Python, NumPy and torch on every device: the one place where global generators are seeded.

    Covers the initialisation of adapters, which draw from torch's global generator.
    """
    from transformers import set_seed

    set_seed(seed)


def run(model: Any, job: Job, progress: Progress) -> Ledger:
    """Train `model` in place, from its last checkpoint if there is one, and give back what the loop knows of its cost.

    Raises Diverged, OutOfMemory (both with what was spent as `ledger`) or Interrupted.
    """
    asked = _micro_batch(job.optimiser)
    # Before a checkpoint is read, so that a resumed training decides as the undisturbed one did.
    packing.examine(model, losses.target_logprobs)
    trainable = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    optimiser = _adamw(trainable, job.optimiser)
    recorder = Recorder(model, job, progress, trainable, optimiser)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, recorder.rate)
    recorder.schedule = schedule
    recorder.resume()
    use_cache = getattr(model.config, "use_cache", None)
    micro = recorder.meter.micro_batch or asked
    try:
        with memory_errors("training"), StopFlag() as stop:
            recorder.stop = stop
            while not _trained(model, job, recorder, micro):
                smaller = _halved(micro, job.optimiser.batch_size)
                recorder.out_of_memory(micro, smaller)
                micro = smaller
                optimiser.zero_grad(set_to_none=True)
                gc.collect()
                if str(job.device).startswith("cuda"):
                    torch.cuda.empty_cache()
    except ArmFailed as error:
        error.ledger = recorder.spent()
        raise
    # Trainer turns the cache off; a saved model would generate slowly for ever after.
    model.config.use_cache = use_cache
    return recorder.spent()


def _trained(model: Any, job: Job, recorder: Recorder, micro: int) -> bool:
    """Go on from where `recorder` stands to the end; False when memory ran out where a smaller micro-batch may do.

    Weights are those of the last finished step then: forward and backward passes do not touch them.
    """
    left = _Rows(job, recorder.meter.examples)
    if len(left) == 0 or recorder.is_over() or recorder.is_paused():
        return True
    # First, because making it takes the accelerator's state from arguments that were made before.
    stock = TrainingArguments(output_dir=str(job.folder), use_cpu=not str(job.device).startswith("cuda"))
    trainer = _Trainer(
        job.objective,
        model=model,
        args=_arguments(job, micro),
        train_dataset=left,
        data_collator=left.collate,
        optimizers=(recorder.optimiser, recorder.schedule),
        compute_loss_func=_unused,
        callbacks=[recorder],
    )
    trainer.precision = (job.device, job.autocast)
    trainer.remove_callback(PrinterCallback)
    library_configs.write(job.folder, configs_of(model, recorder.optimiser, (trainer.args, stock)))
    try:
        trainer.train()
    except (MemoryError, RuntimeError) as error:
        if micro == 1 or recorder.settling or not is_out_of_memory(error):
            raise
        return False
    return True


def _halved(micro: int, batch: int) -> int:
    """The largest divisor of `batch` that is at most half of `micro`."""
    return next(size for size in range(micro // 2, 0, -1) if batch % size == 0)


def _micro_batch(optimiser: OptimiserSpec) -> int:
    micro = min(optimiser.micro_batch_size or optimiser.batch_size, optimiser.batch_size)
    if optimiser.batch_size % micro:
        raise SpecError(
            f"{micro} does not divide the batch_size {optimiser.batch_size}",
            field="optimiser.micro_batch_size",
            hint="Give a divisor of batch_size",
        )
    return micro


def _adamw(trainable: dict[str, torch.nn.Parameter], spec: OptimiserSpec) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019); decay on matrices only, as is usual (not on biases, norms and scales)."""
    groups = [
        {"params": [p for p in trainable.values() if p.ndim >= 2], "weight_decay": spec.weight_decay},
        {"params": [p for p in trainable.values() if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    # Fused: 6 ms of CPU instead of 23 for 3.4 million parameters, and one kernel instead of many on a GPU.
    return torch.optim.AdamW(groups, lr=spec.learning_rate, betas=(0.9, 0.999), eps=1e-8, fused=True)


def _arguments(job: Job, micro: int) -> TrainingArguments:
    arguments = TrainingArguments(
        output_dir=str(job.folder),
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=job.optimiser.batch_size // micro,
        num_train_epochs=1,
        max_grad_norm=job.optimiser.max_grad_norm,
        learning_rate=job.optimiser.learning_rate,
        train_sampling_strategy="sequential",
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="no",
        eval_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        seed=job.seed,
        use_cpu=not str(job.device).startswith("cuda"),
        dataloader_pin_memory=str(job.device).startswith("cuda"),
    )
    if arguments.n_gpu > 1:
        # One arm trains on one device; Trainer would otherwise split batches over all it can see.
        arguments._n_gpu = 1
    return arguments


OURS = (
    *("optim", "optim_args", "optim_target_modules", "learning_rate", "weight_decay", "adam_beta1", "adam_beta2"),
    *(
        "adam_epsilon",
        "lr_scheduler_type",
        "lr_scheduler_kwargs",
        "warmup_steps",
        "warmup_ratio",
        "warmup_min_lr_ratio",
    ),
    *("label_smoothing_factor",),
)
"""Fields of TrainingArguments that play no part: Trainer is handed its optimiser, schedule and loss."""


def configs_of(
    model: Any, optimiser: torch.optim.Optimizer, arguments: tuple[TrainingArguments, TrainingArguments]
) -> list[LibraryConfig]:
    """What the libraries were given for a training, every field resolved; see `harness/models/library_configs.py`.

    `arguments` are those of the training, and those that the library makes by itself.
    """
    own = inspect.signature(type(optimiser)).parameters
    in_force = {**optimiser.param_groups[0], "lr": optimiser.defaults["lr"]}
    in_force = {name: value for name, value in in_force.items() if name in own and name != "params"}
    optimiser_stock = {name: own[name].default for name in in_force}
    text = model.config.get_text_config()
    loading = {"dtype": str(model.dtype).removeprefix("torch."), "attn_implementation": text._attn_implementation}
    configs = [
        library_configs.describe("transformers", *arguments, without=OURS),
        library_configs.describe("torch", in_force, optimiser_stock, name=type(optimiser).__name__),
        library_configs.describe("transformers", loading, None, name=f"{type(_bare(model)).__name__}.from_pretrained"),
    ]
    adapter = getattr(model, "active_peft_config", None)
    if adapter is not None:
        configs.append(library_configs.describe("peft", adapter, _stock_adapter(adapter)))
    quantisation = getattr(model.config, "quantization_config", None)
    if quantisation is not None:
        configs.append(library_configs.describe("transformers", quantisation, type(quantisation)()))
    return configs


def _bare(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _stock_adapter(adapter: Any) -> Any:
    """An adapter's configuration as peft makes it by itself; None where it must be told something."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return type(adapter)()
    except (TypeError, ValueError):
        return None


def _unused(*args: Any, **kwargs: Any) -> Any:
    """Handed to Trainer as its loss function so that it leaves the scale of the loss alone; never called."""
    raise AssertionError("compute_loss is overridden")


class _Trainer(Trainer):  # type: ignore[misc]
    """Trainer with the loss of an Objective, already a mean over the effective batch."""

    precision: tuple[str, str | None]
    """Device, and data type of matrix products."""

    def __init__(self, objective: Objective, **options: Any) -> None:
        self._objective = objective
        super().__init__(**options)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """The objective's loss of one micro-batch."""
        batch = dict(inputs)
        with mixed(*self.precision):
            return self._objective.loss(model, batch, batch.pop("weight"))


class _Rows(torch.utils.data.Dataset[tuple[Any, float]]):
    """What is left of the order after `start` examples; an item is a row and its weight in its effective batch."""

    def __init__(self, job: Job, start: int) -> None:
        self.job, self.start = job, start

    def __len__(self) -> int:
        return len(self.job.order) - self.start

    def __getitem__(self, index: int) -> tuple[Any, float]:
        job, size = self.job, self.job.optimiser.batch_size
        position = self.start + index
        first = position - position % size
        units = sum(job.objective.units(job.rows[at]) for at in job.order[first : first + size])
        return job.rows[job.order[position]], 1.0 / max(1, units)

    def collate(self, items: Sequence[tuple[Any, float]]) -> dict[str, torch.Tensor]:
        """Tensors of a micro-batch, with the weights of its rows."""
        batch = self.job.objective.collate([row for row, _ in items])
        return {**batch, "weight": torch.tensor([weight for _, weight in items])}
