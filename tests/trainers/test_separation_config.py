"""Configs of separation models, and their error messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from model_zoo.errors import ConfigError
from tests.trainers.masking import (
    sections,
)
from trainers.separation_model import SpectrogramMaskModel, load_config


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("model_params", {"model_tpye": 1}, "did you mean 'model_type'"),
        ("model_params", {"model_type": "Simple"}, "one of 'SpectrogramNetSimple'"),
        ("model_params", {"model_name": "a/b"}, "a name, without folders"),
        ("model_params", {"hidden_size": 4}, "has no LSTMs: leave out hidden_size"),
        ("dataset_params", {"window_size": 32}, "window_size must be num_fft=64, found 32"),
        ("dataset_params", {"num_fft": 66}, "num_fft must be a multiple of 4, found 66"),
        ("dataset_params", {"hop_lenght": 2}, "did you mean 'hop_length'"),
        ("training_params", {"criterion": "kl_div"}, "needs model_type='SpectrogramNetVAE'"),
        ("training_params", {"stop_patience": 0}, "stop_patience and max_lr_steps must be 1"),
        ("training_parms", {}, "did you mean 'training_params'"),
    ],
)
def test_configs_with_mistakes(
    tmp_path: Path, section: str, values: dict[str, Any], message: str
) -> None:
    config = sections(tmp_path)
    config[section] = {**config.get(section, {}), **values}
    with pytest.raises(ConfigError, match=message):
        SpectrogramMaskModel(config)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=rf"config\.json: .*{message}"):
        load_config(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "it is not JSON"),
        (b"\xff\xfe\xff", "it is not JSON"),
        (b"[]", "it must be an object"),
        (b"{}", "key 'model_params' is missing"),
    ],
)
def test_files_that_are_not_configs(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"config\.json: {message}"):
        load_config(path)


def test_a_missing_config(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "config.json")
