"""Python files that a user wrote: builders of rows and metrics. Imported fresh, forgotten afterwards."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from harness.config.documents import shown


class _Loader(SourceFileLoader):
    """Compiles the file each time: cached bytecode misses a change of equal length within a second."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


def import_file(file: Path) -> ModuleType:
    """The module in `file`, run anew, so that a changed file is read again. Raises whatever the file raises."""
    name = f"harness_user_{hashlib.sha256(str(file).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(name, file, loader=_Loader(name, str(file)))
    if file.suffix != ".py" or spec is None or spec.loader is None:
        raise ImportError(f"{file.name} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by name while they are made.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@contextmanager
def neighbours_importable(folder: Path) -> Iterator[None]:
    """`folder` comes first on the import path; modules found there are forgotten afterwards.

    So two tasks may both have a `helpers.py`. No bytecode is written: it would hide a change within a second.
    """

    def inside(module: ModuleType) -> bool:
        origin = getattr(module, "__file__", None)
        return isinstance(origin, str) and Path(origin).resolve().is_relative_to(folder)

    before = {name: module for name, module in sys.modules.items()}
    hidden = [path.stem for path in folder.glob("*.py") if path.stem in sys.modules and not is_standard(path.stem)]
    for name in hidden:
        del sys.modules[name]
    sys.path.insert(0, str(folder))
    bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = bytecode
        sys.path.remove(str(folder))
        for name, module in list(sys.modules.items()):
            if name not in before and isinstance(module, ModuleType) and inside(module):
                del sys.modules[name]
        sys.modules.update({name: before[name] for name in hidden})


def imported_files(file: Path, folder: Path) -> set[Path]:
    """`file`, and the Python files below `folder` that its import statements reach, theirs included."""
    reached, waiting = {file}, [file]
    while waiting:
        path = waiting.pop()
        try:
            tree = ast.parse(path.read_bytes())
        except (OSError, SyntaxError, ValueError):
            continue
        for target in _import_targets(tree, path, folder):
            if target not in reached and target.is_file():
                reached.add(target)
                waiting.append(target)
    return reached


def _import_targets(tree: ast.AST, path: Path, folder: Path) -> Iterator[Path]:
    """Files below `folder` that the import statements in `tree` may mean."""
    for node in ast.walk(tree):
        names: list[str] = []
        start = folder
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                start = path.parents[node.level - 1]
            module = node.module or ""
            names = [module, *(f"{module}.{alias.name}".strip(".") for alias in node.names)]
        for name in filter(None, names):
            parts = name.split(".")
            for length in range(1, len(parts) + 1):
                target = start.joinpath(*parts[:length])
                yield target.with_name(target.name + ".py").resolve()
                yield (target / "__init__.py").resolve()


def is_standard(name: str) -> bool:
    """Whether `name` is a module of Python's own library, which a file of the same name does not replace."""
    return name in sys.stdlib_module_names


def place_and_reason(error: BaseException, file: Path) -> tuple[str, str]:
    """Where in the user's code `error` arose (`FILE:LINE`, the innermost frame beside `file`) and what it says."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{shown(Path(error.filename))}:{error.lineno}", str(error.msg)
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).resolve().is_relative_to(file.parent)]
    place = f"{shown(Path(own[-1].filename))}:{own[-1].lineno}" if own else shown(file)
    return place, f"{type(error).__name__}: {one_line(error)[:200]}"


def one_line(value: object) -> str:
    """Text of an error without line breaks."""
    return " ".join(str(value).split())
