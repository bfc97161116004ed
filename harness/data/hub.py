"""Reads rows of a Hugging Face data set, by id or from a folder, with the text that `path:` would give its cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.config import DataSpec, user_code
from harness.data import rows
from harness.errors import DataError

SPLIT_NAMES = {"train": ("train", "training"), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}
"""Our name of a split → the names that data sets give it."""


def read_hub(data: DataSpec, folder: Path) -> dict[str, list[rows.Row]]:
    """Rows of a Hugging Face data set by its own names of splits; only `data.hub_split` where that is given.

    `data.hub` is a hub id, or a local folder (relative to `folder` or the working directory): one that `save_to_disk`
    wrote, or one of data files. Raises DataError; for gated and unknown data sets it says how to log in.
    """
    import datasets

    name, split = str(data.hub), data.hub_split
    local = next((candidate for candidate in (folder / name, Path(name)) if candidate.is_dir()), None)
    silent = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        if local and any((local / mark).is_file() for mark in ("dataset_dict.json", "dataset_info.json", "state.json")):
            by_split = _by_split(datasets.load_from_disk(str(local)))
        else:
            by_split = _load_files(str(local or name), data, local is not None)
        if split is not None and split not in by_split:
            raise DataError(f"data.hub_split: {name!r} has no split {split!r}", hint=f"Splits: {', '.join(by_split)}")
        selected = {split: by_split[split]} if split is not None else by_split
        return {
            part: [
                row if isinstance(row, rows.Row) else rows.make_row(row, f"{name} ({part}) row {number}")
                for number, row in enumerate(_with_label_names(part_rows), 1)
            ]
            for part, part_rows in selected.items()
        }
    except DataError:
        raise
    except Exception as error:
        raise DataError(
            f"data.hub: cannot read the data set {name!r}: {user_code.one_line(error)[:200]}",
            hint="Check the id; if it is private or gated, log in with `hf auth login` or set HF_TOKEN; "
            "without a network, give a local folder",
        ) from None
    finally:
        if not silent:
            datasets.enable_progress_bars()


def _by_split(loaded: Any) -> dict[str, Any]:
    import datasets

    return dict(loaded.items()) if isinstance(loaded, datasets.DatasetDict) else {"train": loaded}


def _load_files(path: str, data: DataSpec, local: bool) -> dict[str, Any]:
    """Rows by split of a data set of files, with the text that `path:` would give its cells.

    datasets reads csv through pandas, which makes 007 a 7 and `NA` nothing, and numbers of one JSON column alike.
    """
    import datasets

    revision = None if local else data.revision
    builder = datasets.load_dataset_builder(path, name=data.subset, revision=revision)
    kind = type(builder).__module__.rpartition(".")[2]
    if kind == "json" and local:
        return {
            str(part): [row for file in files for row in rows.read_file(Path(str(file)))]
            for part, files in (builder.config.data_files or {}).items()
        }
    by_split = _by_split(datasets.load_dataset(path, name=data.subset, revision=revision))
    if kind != "csv":
        return by_split
    texts = datasets.Features({name: datasets.Value("string") for name in next(iter(by_split.values())).features})
    return _by_split(datasets.load_dataset(path, name=data.subset, revision=revision, features=texts, na_filter=False))


def _with_label_names(part_rows: Any) -> Iterator[Any]:
    """Rows of one split, where a column of class labels holds their names; the number of no label is null."""
    import datasets

    features = getattr(part_rows, "features", None) or {}
    labels = {name: kind for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)}
    for row in part_rows:
        if labels:
            values = {name: row[name] for name in labels}
            row = row | {
                name: None if value is None or value < 0 else labels[name].int2str(value)
                for name, value in values.items()
            }
        yield row


def own_splits(by_name: Mapping[str, list[rows.Row]], name: str) -> dict[str, list[rows.Row]]:
    """Train, validation and test of a data set that comes split, under our names. Raises DataError when one lacks."""
    result: dict[str, list[rows.Row]] = {}
    for split, aliases in SPLIT_NAMES.items():
        alias = next((alias for alias in aliases if alias in by_name), None)
        if alias is None:
            raise DataError(
                f"data.hub: {name!r} has no {split} split (it has {', '.join(by_name)})",
                hint=f"Give `hub_split: {next(iter(by_name), 'train')}` so that the harness splits it",
            )
        result[split] = by_name[alias]
    return result
