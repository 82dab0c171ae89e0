"""Values that options take from Python programs, and the wording of mistakes there."""

from __future__ import annotations

import json
import pickle
import typing
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import stemcli
from model_zoo.option_names import command_line
from stemcli.audio.formats import DEPTHS, RULES
from stemcli.engine.options import Depth, Format


def test_the_literals_are_the_formats() -> None:
    assert typing.get_args(Format) == (*RULES,)
    assert typing.get_args(Depth) == DEPTHS


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ({"shifts": np.int64(2)}, {"shifts": 2}),
        ({"start": np.float32(0.5), "end": np.int8(2)}, {"start": 0.5, "end": 2}),
        ({"overlap": np.float64(0.25)}, {"overlap": 0.25}),
        ({"overlap": Fraction(1, 4)}, {"overlap": 0.25}),
        ({"device": torch.device("cpu")}, {"device": "cpu"}),
        ({"device": torch.device("cpu", 0)}, {"device": "cpu"}),
        ({"device": torch.device("cuda", 1)}, {"device": "cuda:1"}),
        ({"device": torch.device("mps", 0)}, {"device": "mps"}),
        ({"filename": Path("{track}_{stem}.{ext}")}, {"filename": "{track}_{stem}.{ext}"}),
    ],
)
def test_values_of_other_types_become_plain(given: Any, plain: dict[str, Any]) -> None:
    """Settings of journals are JSON, so they must hold plain values."""
    options = stemcli.Options(**given)
    assert options == stemcli.Options(**plain) == stemcli.Options.from_dict(given)
    assert json.loads(json.dumps(options.to_dict())) is not None
    for name, value in plain.items():
        assert type(getattr(options, name)) is type(value)
    assert pickle.loads(pickle.dumps(options)) == options


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"modle": "a"}, "unknown key 'modle', did you mean 'model'?"),
        ({"overwrite": True}, "unknown key 'overwrite', use existing='overwrite'"),
        ({"skip_existing": True}, "unknown key 'skip_existing', use existing='skip'"),
        ({"bit_depth": "16"}, "unknown key 'bit_depth', use depth"),
        ({"stems": "a, b"}, "stems takes a list of names; use stems=['a', 'b']"),
        ({"output": 3}, "output must be a string, found 3"),
        ({"output": None}, "output must be a string, found None"),
        ({"stems": [3]}, "stems must be a name or a list of names, found (3,)"),
        ({"output": "a\0b"}, "output has a null character"),
        ({"filename": "a\0{stem}.{ext}"}, "filename has a null character"),
        ({"picture": 1}, "picture must be True or False, found 1"),
        ({"track": "1"}, "track must be a whole number or None, found '1'"),
        ({"shifts": np.True_}, "shifts must be a whole number, found"),
        ({"format": "mp4"}, "format must be one of 'wav', 'flac', 'mp3'"),
        ({"depth": "20"}, "depth must be one of 'auto', '16', '24', '32f', found '20'"),
    ],
)
def test_mistakes_are_worded_for_python(given: Any, sentence: str) -> None:
    with pytest.raises(stemcli.ConfigError) as caught:
        stemcli.Options(**given)
    assert sentence in str(caught.value)
    assert len(caught.value.mistakes) == 1
    with pytest.raises(stemcli.ConfigError) as caught:
        stemcli.Session(**given)
    assert sentence in str(caught.value)


def test_commands_keep_their_wording() -> None:
    with command_line():
        with pytest.raises(stemcli.ConfigError, match=r"one of wav, flac, mp3, ogg, opus, m4a, "):
            stemcli.Options(format="mp4")  # type: ignore[arg-type]
        with pytest.raises(stemcli.ConfigError, match=r"must be text, found nothing"):
            stemcli.Options(output=None)  # type: ignore[arg-type]
        assert stemcli.Options(stems="a,b").stems == ("a,b",)


def test_all_mistakes_are_listed_together() -> None:
    """Mistakes in a format that depend on a value of the wrong type are not guessed."""
    given: Any = {"modle": "a", "shifts": "2", "overlap": 2.0, "start": -1.0, "track": 0}
    with pytest.raises(stemcli.ConfigError) as caught:
        stemcli.Options(**given)
    assert [mistake.split(",")[0] for mistake in caught.value.mistakes] == [
        "unknown key 'modle'",
        "shifts must be a whole number",
        "overlap must be at least 0 and below 1",
        "track counts from 1",
        "start must be from 0 to 1",
    ]
    with pytest.raises(stemcli.ConfigError) as caught:
        stemcli.Options(format=3, bitrate=96, seed="x")  # type: ignore[arg-type]
    assert caught.value.mistakes == [
        "seed must be a whole number, found 'x'",
        "format must be a string, found 3",
    ]


@pytest.mark.parametrize("argument", ["options", "jobs", "load"])
def test_arguments_of_sessions_are_refused_by_separate(argument: str) -> None:
    given: Any = {argument: None}
    with pytest.raises(stemcli.UsageError, match=rf"^{argument}: separate takes fields of Options"):
        stemcli.separate("x.wav", **given)


def test_results_and_events_can_be_hashed() -> None:
    """Equal ones have equal hashes, as sets require."""
    results = [stemcli.Result({"vocals": Path("a.wav")}, 3, 8000) for _ in range(2)]
    events = [stemcli.TrackFinished("a", {"vocals": "a.wav"}, 1.0, 2.0) for _ in range(2)]
    assert (len({*results}), len({*events})) == (1, 1)
    assert results[0] != stemcli.Result({"vocals": Path("b.wav")}, 3, 8000)
