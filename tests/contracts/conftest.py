"""Networks without weights, which every check of a recipe needs, are built once for all tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

import trainers.objectives
from model_zoo.introspection import build_on_meta
from model_zoo.separator import Separator


@pytest.fixture(scope="session", autouse=True)
def networks_built_once() -> Iterator[None]:
    """Let recipes that differ in nothing of the network be checked against the same one."""
    built: dict[str, Separator] = {}

    def build_once(architecture: str, options: Mapping[str, Any]) -> Separator:
        key = f"{architecture} {options}"
        if key not in built:
            built[key] = build_on_meta(architecture, options)
        return built[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainers.objectives, "build_on_meta", build_once)
        yield
