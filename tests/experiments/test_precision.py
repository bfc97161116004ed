"""A data type that the processor only emulates is warned of, before anything takes hours."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import environment
from harness.config import BaseModelSpec
from harness.experiments.running import plans

X86 = "processor\t: 0\nflags\t\t: fpu avx2 {}\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd {}\n"


@pytest.mark.parametrize(
    ("dtype", "text", "expected"),
    [
        ("bfloat16", X86.format("avx512_bf16"), True),
        ("bfloat16", X86.format("amx_bf16"), True),
        ("bfloat16", X86.format("avx512f"), False),
        ("bfloat16", ARM.format("bf16"), True),
        ("bfloat16", ARM.format("asimdhp"), False),
        ("float16", ARM.format("asimdhp"), True),
        ("float16", X86.format("avx512_bf16"), False),
        ("float32", X86.format(""), True),
        ("bfloat16", "processor : 0\n", None),
    ],
)
def test_what_linux_says_of_a_processor(tmp_path: Path, dtype: str, text: str, expected: bool | None) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert environment.multiplies(dtype, tmp_path / "cpuinfo") is expected


def test_a_system_without_such_a_file_says_nothing(tmp_path: Path) -> None:
    assert environment.multiplies("bfloat16", tmp_path / "none") is None


@pytest.mark.parametrize("field", ["dtype", "autocast"])
def test_the_field_and_the_way_on_are_named(field: str) -> None:
    base = BaseModelSpec.model_validate({"path": "b", field: "bfloat16"})
    known = {"bfloat16": False, "float32": True}
    [note] = plans.precision_notes(base, "cpu", known.get)
    assert f"base_model.{field}: bfloat16" in note and "float32" in note
    assert plans.precision_notes(base, "cuda", known.get) == []
    assert plans.precision_notes(base, "cpu", {}.get) == []
    assert plans.precision_notes(base, "cpu", lambda dtype: True) == []
