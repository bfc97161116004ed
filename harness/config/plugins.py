"""What other packages add: methods, metrics and executors, by the entry points that they declare.

    [project.entry-points."harness.arms"]
    my_method = "my_package.my_method"           # a module as `harness.arms` describes, with its `Spec`
    [project.entry-points."harness.metrics"]
    my_metric = "my_package.metrics:MY_METRIC"   # a `harness.metrics.Metric` of that name
    [project.entry-points."harness.executors"]
    my_cluster = "my_package.cluster"            # a module with `opened`, as those in `running/executors`

A package is imported when one of its names is used or listed, never before. The name and version of its distribution
are part of the identity of what it makes.
"""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from harness.errors import UsageError

Group = Literal["harness.arms", "harness.metrics", "harness.executors"]


@dataclass(frozen=True, slots=True)
class Plugin:
    """One name that an installed package adds."""

    point: importlib.metadata.EntryPoint
    distribution: str
    version: str

    @property
    def identity(self) -> str:
        """Distribution and version, as they enter identities."""
        return f"{self.distribution} {self.version}"

    def load(self) -> Any:
        """The object that the entry point names. Raises UsageError, with the reason, when it cannot be imported."""
        try:
            return self.point.load()
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise UsageError(
                f"{self.point.name!r} of the package {self.distribution} ({self.point.value}) cannot be imported: "
                f"{reason}",
                hint=f"Mend or uninstall {self.distribution}",
            ) from error


def find(group: Group, name: str, builtin: Collection[str]) -> Plugin | None:
    """The plugin called `name`, which is none of the harness's own; None where no package brings one."""
    return None if name in builtin else installed(group, frozenset(builtin)).get(name)


@functools.cache
def installed(group: Group, builtin: frozenset[str]) -> dict[str, Plugin]:
    """Every plugin of a group, by name; none is imported.

    Raises UsageError when a package takes a name of the harness's own, or two packages take the same.
    """
    plugins: dict[str, Plugin] = {}
    for point in sorted(importlib.metadata.entry_points(group=group), key=lambda point: point.name):
        name, version = ("?", "?") if point.dist is None else (point.dist.name, point.dist.version)
        other = "the harness itself" if point.name in builtin else ""
        if point.name in plugins and plugins[point.name].distribution != name:
            other = f"the package {plugins[point.name].distribution}"
        if other:
            raise UsageError(
                f"the package {name} calls one of its {group.partition('.')[2]} {point.name!r}, which is the name of "
                f"one of {other}",
                hint=f"Uninstall {name}, or take a version of it that uses another name",
            )
        plugins[point.name] = Plugin(point, name, version)
    return plugins
