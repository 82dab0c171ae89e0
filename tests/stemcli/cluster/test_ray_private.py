"""The adapter to Ray's private names, with the installed Ray and one that lacks a name."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import ray
from packaging.requirements import Requirement
from packaging.version import Version
from ray._private import ray_constants
from ray.train.v2._internal import constants

from model_zoo.errors import ClusterError
from stemcli.cluster.ray_private import (
    START_TIMEOUT_VARIABLE,
    TESTED,
    controller_callback,
    failure_cause,
    free_resources_by_node,
    loopback_only,
    reload_token,
    resolve_address,
)

PROJECT = Path(__file__).parents[3] / "pyproject.toml"


def ranges() -> list[Requirement]:
    """All version requirements of Ray in pyproject.toml."""
    extras = tomllib.loads(PROJECT.read_text("utf-8"))["project"]["optional-dependencies"]
    requirements = [Requirement(text) for requirement in extras.values() for text in requirement]
    return [requirement for requirement in requirements if requirement.name == "ray"]


def test_the_package_requires_the_tested_versions() -> None:
    first, last = map(Version, TESTED)
    supported = [TESTED[0], TESTED[1], ray.__version__]
    unsupported = [f"{first.major}.{first.minor - 1}.0", f"{last.major}.{last.minor + 1}.0"]
    assert ranges()
    for requirement in ranges():
        assert [*requirement.specifier.filter([*supported, *unsupported])] == supported


def test_the_timeout_variable_is_that_of_ray() -> None:
    assert START_TIMEOUT_VARIABLE == constants.WORKER_GROUP_START_TIMEOUT_S_ENV_VAR


def test_loopback_only_is_undone_at_the_end() -> None:
    before = ray_constants.ENABLE_RAY_CLUSTER
    with loopback_only():
        assert ray_constants.ENABLE_RAY_CLUSTER is False
    assert before == ray_constants.ENABLE_RAY_CLUSTER


def test_an_address_with_a_port_is_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert resolve_address("10.0.0.9:6379") == "10.0.0.9:6379"
    with pytest.raises(ValueError, match="nonsense"):
        resolve_address("nonsense")


def test_the_cause_of_a_failure() -> None:
    death, raised = RuntimeError("died"), ValueError("raised")
    failed_check, chained = RuntimeError("found"), RuntimeError("chained")
    failed_check.health_check_failure = death  # type: ignore[attr-defined]
    chained.__cause__ = raised
    assert failure_cause(failed_check) is death
    assert failure_cause(chained) is raised
    assert failure_cause(death) is death


def no_op(*_: Any) -> None:
    """A callback that does nothing."""


STATES = "ray.train.v2._internal.execution.controller.state"


@pytest.mark.parametrize(
    ("module", "use"),
    [
        ("ray._private.services", lambda: resolve_address("auto")),
        ("ray._private.state", free_resources_by_node),
        ("ray._private.ray_constants", lambda: loopback_only().__enter__()),
        ("ray._raylet", reload_token),
        (STATES, lambda: controller_callback(no_op, no_op, no_op)),
    ],
)
def test_a_ray_without_a_private_name_is_reported(
    module: str, use: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Expected: the installed version, the tested versions, and the command to run."""
    parent, _, name = module.rpartition(".")
    import_module(parent)
    empty = ModuleType(module)
    monkeypatch.setitem(sys.modules, module, empty)
    monkeypatch.setattr(sys.modules[parent], name, empty)
    monkeypatch.setattr(ray, "__version__", "9.9.9")
    with pytest.raises(ClusterError) as caught:
        use()
    first, last = map(re.escape, TESTED)
    assert re.fullmatch(
        rf"Ray 9\.9\.9 lacks a part that stem needs \(.+\)\. Stem was tested with Ray {first} to "
        rf"{last}\. Try: pip install 'ray\[train,tune\]=={last}'",
        str(caught.value),
    )


def test_another_version_with_all_names_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "__version__", "9.9.9")
    assert controller_callback(no_op, no_op, no_op)
    with loopback_only():
        reload_token()
