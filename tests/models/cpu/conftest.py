"""Tests of the kernels themselves make no sense where they are switched off."""

from model_plans import CPU_KERNELS_OFF

collect_ignore = ["test_layers.py"] if CPU_KERNELS_OFF else []
