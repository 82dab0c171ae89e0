"""Wrong arguments of the Python interface: one sentence each, before a model is loaded."""

from __future__ import annotations

import asyncio
import functools
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import stemcli
from stemcli.engine.events import Event
from stemcli.engine.session import Session
from tests.stemcli.engine.sessions import make_session, song


def unloadable(name: str) -> Any:
    raise AssertionError("a model was loaded")


SONGS: tuple[tuple[Any, str], ...] = (
    (None, "song is of type NoneType. Use a path, a URL or a file object"),
    (3, "song is of type int"),
    (b"RIFF", r"Use song=io\.BytesIO\(data\)"),
    ("", "song is an empty string"),
    ("a\0b", r"song is 'a\\x00b', with a null character"),
    (Path("a\0b"), "null character"),
    (np.zeros((9, 2)), r"type ndarray\. Use separate_array\(wave, sample_rate\)"),
    (torch.zeros((9, 2)), r"type Tensor\. Use separate_array\(wave, sample_rate\)"),
    (["a.wav"], "song is of type list"),
    (io.BytesIO, "song is of type type"),
)


@pytest.mark.parametrize(("given", "sentence"), SONGS)
def test_not_a_song(given: Any, sentence: str) -> None:
    session = Session(load=unloadable)
    with pytest.raises(stemcli.UsageError, match=sentence):
        session.separate_file(given)
    with pytest.raises(stemcli.UsageError, match=sentence):
        asyncio.run(session.separate_file_async(given))
    for plan in (session.plan, session.plan_picture):
        with pytest.raises(stemcli.UsageError, match=sentence):
            plan(given)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (None, "song is of type NoneType"),
        ("", "song is an empty string"),
        ((np.zeros((9, 2)), 8000), r"song is a tuple.*separate\(wave, sample_rate=rate\)"),
        (np.zeros((9, 2)), r"Add its rate in Hz, e\.g\. sample_rate=44100"),
        (torch.zeros((9, 2)), r"Tensor, a waveform\. Add its rate"),
    ],
)
def test_separate_without_a_song(given: Any, sentence: str) -> None:
    with pytest.raises(stemcli.UsageError, match=sentence):
        stemcli.separate(given)


ARGUMENTS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"name": 3}, r"name is 3\. Use the name of a file"),
    ({"name": None}, "name is None"),
    ({"folder": 3}, r"folder is 3\. Use a path below"),
    ({"folder": "/tmp"}, "folder is '/tmp', which is not below the output folder"),
    ({"folder": Path("a/../../b")}, "not below the output folder"),
)


@pytest.mark.parametrize(("arguments", "sentence"), ARGUMENTS)
def test_a_name_or_folder_that_cannot_be_used(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(stemcli.UsageError, match=sentence):
        Session(load=unloadable).separate_file("x.wav", **arguments)


def test_names_and_folders_of_any_type(tmp_path: Path) -> None:
    data = song(tmp_path / "song.wav").read_bytes()
    session = make_session(tmp_path / "out", picture=True)
    for folder in ("a", Path("a")):
        assert session.plan("x.wav", folder=folder)["vocals"] == tmp_path / "out/a/x/vocals.wav"
        drawn = session.plan_picture("x.wav", folder=folder)
        assert drawn == tmp_path / "out/a/x/spectrograms.png"
    result = session.separate_file(io.BytesIO(data), name=Path("x.wav"), folder="a")
    assert result.outputs == session.plan("x.wav", folder="a")
    assert session.plan("https://host/a%20b.mp3?c=d")["vocals"].parent.name == "a b"
    assert session.plan("file:///music/a.mp3")["vocals"].parent.name == "a"


def test_a_file_object_has_no_plan() -> None:
    with pytest.raises(stemcli.UsageError, match="song is a file object"):
        Session(load=unloadable).plan(io.BytesIO())  # type: ignore[arg-type]


async def asynchronous(event: Event) -> None:
    del event


class AsyncHandler:
    async def __call__(self, event: Event) -> None:
        del event


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"options": "melroformer"}, r"Session\(model='melroformer'\)"),
        ({"options": {"model": "melroformer"}}, r"Use Session\(\*\*options\)"),
        ({"options": 3}, "options is of type int"),
        *(({"jobs": jobs}, "Use a whole number from 1") for jobs in (0, -1, "2", 1.5, True, None)),
        ({"on_event": 3}, "on_event is of type int"),
        ({"on_event": asynchronous}, "on_event is an async function"),
        ({"on_event": functools.partial(asynchronous)}, "on_event is an async function"),
        ({"on_event": AsyncHandler()}, "on_event is an async function"),
    ],
)
def test_arguments_of_a_session(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(stemcli.UsageError, match=sentence):
        Session(load=unloadable, **arguments)


def test_jobs_of_numpy(tmp_path: Path) -> None:
    assert make_session(tmp_path, jobs=np.int64(2))._jobs == 2


def test_a_folder_and_urls_name_no_shell_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    for given, sentence in {
        "folder": r"folder is a folder\. Separate its songs one by one",
        "file:/music/a.wav": r"file:///music/a\.wav is a URL\. Use the path /music/a\.wav",
        Path("file:///music/a.wav"): r"file:///music/a\.wav is a URL\. Use the path /music/a\.wav",
        Path("https://host/a.wav"): r"https://host/a\.wav is a URL.* Use it as a string",
    }.items():
        with pytest.raises(stemcli.DecodeError, match=sentence) as caught:
            make_session(tmp_path / "out").separate_file(given)
        assert "stem batch" not in str(caught.value)
