"""Limits for networks loaded from a file; all architectures at default size are within them."""

from __future__ import annotations

from typing import Any

import pytest

from model_zoo import registry
from model_zoo.errors import CheckpointError
from model_zoo.introspection import build_on_meta
from model_zoo.weight_checks import require_fit, require_room


def shapes(name: str, options: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    tensors = build_on_meta(name, options).state_dict()
    return {key: tuple(value.shape) for key, value in tensors.items()}


@pytest.mark.parametrize("name", registry.ARCHITECTURES)
def test_every_architecture_can_be_loaded_at_default_size(name: str) -> None:
    config = registry.architecture(name).Config().to_dict()
    require_room("file", require_fit("file", name, config, shapes(name, config)))


@pytest.mark.slow
@pytest.mark.parametrize("name", registry.ARCHITECTURES)
def test_default_sizes_are_far_below_the_memory_limit(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The margin leaves memory for longer segments chosen by a user."""
    monkeypatch.setattr("model_zoo.weight_checks._is_usual", lambda config: False)
    monkeypatch.setattr("model_zoo.weight_checks.MOST_ROOM", 4 * 2**30)
    require_room("file", build_on_meta(name, {}))


def test_an_absurd_sample_rate_is_refused() -> None:
    config = registry.architecture("frame_transformer").Config(sample_rate=800_000).to_dict()
    with pytest.raises(CheckpointError, match="sample rate is 800000 Hz"):
        require_fit("file", "frame_transformer", config, shapes("frame_transformer", config))


def test_a_segment_that_does_not_fit_in_memory_is_refused() -> None:
    """Two minutes with a hop of one sample: 1.9 million frames of 65 bins, times the layers."""
    config = registry.architecture("melrnn").small_options | {"hop_size": 1, "segment": 1_900_000}
    full = registry.architecture("melrnn").Config.from_dict(config).to_dict()
    network = require_fit("file", "melrnn", full, shapes("melrnn", full))
    with pytest.raises(CheckpointError, match=r"one segment takes [\d,]+ GiB of memory"):
        require_room("file", network)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"num_layers": 10**9}, "num_layers is 1000000000"),
        ({"num_layers": 10**5000}, "num_layers is a number of thousands of digits"),
        ({"stems": ("x" * 10**6,)}, "stems is 'xxx"),
        ({"stems": ("x",) * 2000}, "stems is too long"),
        ({"num_bands": float("nan")}, "num_bands is nan"),
        ({"segment": 10**13}, "segment is 10000000000000"),
        ({"hidden_channels": 30_000}, "instead of"),
    ],
)
def test_absurd_values_count_as_damage(changes: dict[str, Any], sentence: str) -> None:
    config = registry.architecture("melroformer").Config().to_dict()
    tensor_shapes = shapes("melroformer", config)
    with pytest.raises(CheckpointError, match=sentence) as caught:
        require_fit("file", "melroformer", config | changes, tensor_shapes)
    assert len(str(caught.value)) < 500
    assert "damaged" in str(caught.value)
