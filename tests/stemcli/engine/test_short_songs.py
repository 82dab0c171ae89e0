"""Songs whose last chunk is short, down to one sample, and chunks that are too long."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from model_zoo import registry
from model_zoo.errors import ConfigError
from stemcli.engine.models import LoadedModel
from stemcli.engine.options import Options
from stemcli.engine.session import Session
from tests.stemcli.engine.stubs import noise

OPTIONS = Options.from_dict({"device": "cpu", "precision": "fp32"})


@pytest.mark.parametrize(
    "name", ["hdemucs", "htdemucs", "mel_band_roformer", "bs_roformer", "scnet", "mdx23c"]
)
def test_songs_of_any_length_are_separated(name: str) -> None:
    """Law: stems are as long as the song, and finite."""
    options: dict[str, Any] = {**registry.architecture(name).small_options}
    network = registry.build(name, options)
    session = Session(OPTIONS, load=lambda model: LoadedModel(model, network))
    for samples in (1, 2, 97, 333, network.segment, network.segment + 1):
        stems = session.separate_array(noise(samples), network.sample_rate)
        for stem in stems.values():
            assert stem.shape == (samples, 2)
            assert np.isfinite(stem).all()


def test_htdemucs_refuses_chunks_longer_than_it_was_trained_on() -> None:
    """Its program does, too: positions in time that training never showed."""
    network = registry.build("htdemucs", {**registry.architecture("htdemucs").small_options})
    seconds = network.segment / network.sample_rate
    options = Options.from_dict({"device": "cpu", "segment": 2 * seconds})
    session = Session(options, load=lambda model: LoadedModel(model, network))
    with pytest.raises(ConfigError, match=f"was trained on {seconds:g} s; its chunks cannot be"):
        session.separate_array(noise(100), network.sample_rate)
