"""Every YAML file of the repository is valid: tasks, arms and experiments, lm-eval's own format apart."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from harness import metrics
from harness.load import check, stock_folder

ROOT = Path(__file__).parents[2]
SKIPPED = {"lm_eval", "node_modules", "shared", "mkdocs.yml"}


def files(lm_eval: bool) -> list[Path]:
    """YAML files of the repository, those of lm-eval or the others; hidden folders left out."""
    found = [path.relative_to(ROOT) for suffix in ("yaml", "yml") for path in ROOT.rglob(f"*.{suffix}")]
    visible = [path for path in found if not any(part.startswith(".") for part in path.parts)]
    if lm_eval:
        return sorted(path for path in visible if "lm_eval" in path.parts)
    return sorted(path for path in visible if SKIPPED.isdisjoint(path.parts))


@pytest.mark.parametrize("file", files(lm_eval=False), ids=str)
def test_file_is_valid(file: Path) -> None:
    line = check(ROOT / file, known_metrics=metrics.METRICS, data=False)[0]
    assert any(f": {kind} " in line for kind in ("task", "arm", "experiment"))


@pytest.mark.parametrize("file", files(lm_eval=False), ids=str)
def test_file_opens_with_the_command_that_uses_it(file: Path) -> None:
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    opening = [line for number, line in enumerate(lines) if all(other.startswith("#") for other in lines[: number + 1])]
    assert "harness " in " ".join(opening) or "arms: [" in " ".join(opening)


@pytest.mark.parametrize("file", files(lm_eval=True), ids=str)
def test_lm_eval_file_reads_the_sealed_rows(file: Path) -> None:
    task = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))
    assert task["task"] == file.stem
    assert task["dataset_kwargs"]["data_files"] == {"test": "DATA_FILE"} and task["test_split"] == "test"


def test_all_stock_is_there() -> None:
    assert stock_folder() == ROOT
    names = {str(file) for file in files(lm_eval=False)}
    assert names >= {
        *(
            f"baselines/arms/{arm}.yaml"
            for arm in ("untrained", "few_shot", "full", "lora", "qlora", "dpo", "dora", "sft_continued")
        ),
        "tasks/docstrings/task.yaml",
        "tasks/visit_notes/task.yaml",
    }
