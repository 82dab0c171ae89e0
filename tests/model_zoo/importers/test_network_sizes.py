"""Sizes of public networks before they are fetched: the size of the file confirms each."""

from __future__ import annotations

import json
from functools import cache

import pytest

from model_zoo.catalogue.public import find_public, public_models
from model_zoo.importers.published import _sizes, network_options
from model_zoo.introspection import build_on_meta
from model_zoo.registry import architecture

BYTES = (4, 2)
"""Of a weight in float32 and in float16."""

MARGIN = 0.011
"""What a file has beside the weights, and what its bands have less: at most 1.1 %."""

LARGEST = 8
"""Most stems of a network that is built here; one of 53 takes half a minute."""

KNOWN = [
    name
    for name in _sizes()
    if (model := public_models()[name]).size and len(model.stems) <= LARGEST
]


@pytest.mark.parametrize("name", KNOWN)
def test_the_file_has_the_size_of_the_network(name: str) -> None:
    model = public_models()[name]
    options = network_options(model)
    assert options is not None
    for changing_nothing in ("segment", "hop_size"):
        options.pop(changing_nothing, None)
    count = parameters(model.architecture, json.dumps(options))
    assert min(abs(model.size / (size * count) - 1) for size in BYTES) < MARGIN


@cache
def parameters(architecture: str, options: str) -> int:
    """Number of weights; many networks have the same size."""
    return build_on_meta(architecture, json.loads(options)).parameter_count()


def test_every_size_is_that_of_a_network_with_options_of_its_architecture() -> None:
    for name in _sizes():
        model = public_models()[name]
        options = network_options(model)
        assert options is not None
        config = architecture(model.architecture).Config.from_dict(options)
        assert tuple(config.to_dict()["stems"]) == model.stems


def test_a_network_of_unknown_size_has_no_options() -> None:
    huge = find_public("scnet_huge")
    assert huge is not None
    assert network_options(huge) is None


def test_sizes_by_hand() -> None:
    """Kim's network is the usual one and keeps 0 Hz; that of six stems has half the channels."""
    kim, six = find_public("mel_band_roformer_kim"), find_public("bs_roformer_sw")
    assert kim is not None
    assert six is not None
    assert network_options(kim) == {
        "stems": ["vocals"], "window_size": 2048, "hop_size": 441, "segment": 352_800,
        "sample_rate": 44_100, "audio_channels": 2, "zero_dc": False,
    }  # fmt: skip
    assert (network_options(six) or {})["hidden_channels"] == 256
