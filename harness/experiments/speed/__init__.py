"""Measures how fast each arm answers and in how much memory, in one interleaved pass over all arms.

First every arm is alone in a process of its own, which finds the largest batch that fits (`probe`). Then one other
process times them round by round: each round takes every arm once, in an order drawn anew for every other round and
reversed in the next, so that a machine that grows slower or faster does so for all of them alike; ratios to the
reference arm are taken within each round. One model is loaded at a time; loading and warm-up are not timed.

What is timed is the generation that the arm was scored with (this package's loop over transformers, or the server
behind a URL), with exactly as many tokens as asked for. Adapters stay apart from the base, 4-bit weights stay 4-bit.
A serving engine of its own has other figures.

Prompts are validation examples; the test split is closed meanwhile, so that none of this evaluates on it.

    probes  one loaded model in a process of its own    processes  those processes, and what their death means
    passes  rounds over arms, with a journal            session    an experiment's plans → a stored pass
"""

from harness.experiments.speed.session import check_prompts, jobs, measure

__all__ = ["check_prompts", "jobs", "measure"]
