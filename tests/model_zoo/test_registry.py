"""The registry, checked against the classes it lists."""

from __future__ import annotations

import pytest
import torch

from model_zoo import registry
from model_zoo.errors import ConfigError, UnknownNameError
from model_zoo.separator import Separator, SeparatorConfig
from tests.model_zoo.small import SMALL_CONFIG, small_network


@pytest.mark.parametrize("name", sorted(registry.ARCHITECTURES))
def test_every_entry_is_a_separator(name: str) -> None:
    kind = registry.architecture(name)
    assert issubclass(kind, Separator)
    assert issubclass(kind.Config, SeparatorConfig)


def test_a_network_knows_its_name() -> None:
    assert registry.name_of(small_network()) == "melrnn"
    with pytest.raises(UnknownNameError, match="architecture class"):
        registry.name_of(Separator.__new__(Separator))


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="'MelRNN': did you mean 'melrnn'"):
        registry.architecture("MelRNN")


def test_all_mistakes_of_a_config_are_reported_together() -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'hiden_channels'.*'layers'"):
        registry.build("melrnn", {"hiden_channels": 8, "layers": 1})


def test_build_equals_the_constructor() -> None:
    assert registry.build("melrnn", SMALL_CONFIG).config == small_network().config


def test_an_architecture_without_forward_is_reported() -> None:
    class Empty(Separator):
        Config = SeparatorConfig

    with pytest.raises(NotImplementedError, match="Empty must implement forward"):
        Empty()(torch.zeros(1, 1, 8))
    with pytest.raises(NotImplementedError, match="Empty must name its core"):
        _ = Empty().core
