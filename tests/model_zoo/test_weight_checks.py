"""Which networks may be loaded from a file. Truth: those of the project, in full size, may."""

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
def test_every_network_of_usual_size_may_be_loaded(name: str) -> None:
    config = registry.architecture(name).Config().to_dict()
    require_room("file", require_fit("file", name, config, shapes(name, config)))


@pytest.mark.slow
@pytest.mark.parametrize("name", registry.ARCHITECTURES)
def test_and_has_room(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Far from the bound, so that a longer segment of the user's own has room as well."""
    monkeypatch.setattr("model_zoo.weight_checks._is_usual", lambda config: False)
    monkeypatch.setattr("model_zoo.weight_checks.MOST_ROOM", 4 * 2**30)
    require_room("file", build_on_meta(name, {}))


def test_a_rate_that_no_sound_has() -> None:
    config = registry.architecture("frame_transformer").Config(sample_rate=800_000).to_dict()
    with pytest.raises(CheckpointError, match="sample rate is 800000 Hz"):
        require_fit("file", "frame_transformer", config, shapes("frame_transformer", config))


def test_a_segment_that_fits_the_bounds_and_not_the_memory() -> None:
    """Two minutes of one hop a sample: 1.9 million frames of 65 bins and more for each layer."""
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
def test_what_no_network_has_is_damaged(changes: dict[str, Any], sentence: str) -> None:
    config = registry.architecture("melroformer").Config().to_dict()
    wanted = shapes("melroformer", config)
    with pytest.raises(CheckpointError, match=sentence) as caught:
        require_fit("file", "melroformer", config | changes, wanted)
    assert len(str(caught.value)) < 500
    assert "damaged" in str(caught.value)
