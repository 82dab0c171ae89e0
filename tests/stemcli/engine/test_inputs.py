"""File objects that cannot be read, and where they stand."""

from __future__ import annotations

import io
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

import stemcli
from stemcli.engine.inputs import name_of, on_disk
from stemcli.fetch import LIMIT
from tests.full_disk import file_limit
from tests.stemcli.engine.sessions import files, make_session, song


class Raising(io.RawIOBase):
    """Reads as a network file system that goes away."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        raise self.error


class Reader:
    """Any object with a method ``read``."""

    name = "x.wav"

    def __init__(self, value: Any) -> None:
        self.value = value

    def read(self, size: int = -1) -> Any:
        return self.value


class AsyncReader:
    name = "x.wav"

    async def read(self, size: int = -1) -> bytes:
        return b""


class Sizeless:
    """``read`` without a size, as of a body of a request."""

    name = "song.wav"

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self) -> bytes:
        return self.data


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(5, "Input/output error"), r"OSError: \[Errno 5\] Input/output error"),
        (TypeError("bad argument"), "TypeError: bad argument"),
        (KeyError("x"), "KeyError: 'x'"),
        (ZeroDivisionError(), "ZeroDivisionError"),
        (ValueError("I/O operation\non it"), "ValueError: I/O operation"),
    ],
)
def test_an_error_of_the_file_object_is_not_one_of_the_disk(
    tmp_path: Path, error: Exception, reason: str
) -> None:
    with pytest.raises(
        stemcli.DecodeError, match=rf"^x\.wav cannot be read \({reason}\)\. "
    ) as one:
        make_session(tmp_path).separate_file(Raising(error), name="x.wav")  # type: ignore[arg-type]
    assert one.value.__cause__ is error


def test_a_full_disk_is_an_error_of_the_disk() -> None:
    with (
        file_limit(10_000),
        pytest.raises(stemcli.OutputError, match=r"^x\.wav cannot be copied to .*set TMPDIR to"),
        on_disk(io.BytesIO(b"1" * 99_999), "x.wav"),
    ):
        pass


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (AsyncReader(), r"read of x\.wav is asynchronous\. Use song=io\.BytesIO\(await"),
        (Reader("text"), r"x\.wav was opened for text"),
        (io.StringIO(), r"x\.wav was opened for text"),
        (Reader(3), r"read of x\.wav returns int, not bytes"),
    ],
)
def test_a_file_object_without_bytes(tmp_path: Path, given: Any, sentence: str) -> None:
    with pytest.raises(stemcli.UsageError, match=sentence):
        make_session(tmp_path).separate_file(given, name="x.wav")


def test_a_closed_file(tmp_path: Path) -> None:
    path = song(tmp_path / "song.wav")
    with path.open("rb") as file:
        pass
    with pytest.raises(stemcli.UsageError, match=r"song\.wav is closed\. Open it again"):
        make_session(tmp_path).separate_file(file)


def test_a_file_object_that_is_not_ready(tmp_path: Path) -> None:
    with pytest.raises(stemcli.DecodeError, match="has no data yet"):
        make_session(tmp_path).separate_file(Reader(None))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_read_without_a_size(tmp_path: Path, kind: Any) -> None:
    """Reference: the same song as a file."""
    path = song(tmp_path / "song.wav")
    expected = make_session(tmp_path / "path").separate_file(path).outputs
    given: Any = Sizeless(kind(path.read_bytes()))
    made = make_session(tmp_path / "read").separate_file(given).outputs
    assert {stem: one.read_bytes() for stem, one in made.items()} == {
        stem: one.read_bytes() for stem, one in expected.items()
    }


def test_the_position_of_a_file_object_is_named(tmp_path: Path) -> None:
    file = io.BytesIO(song(tmp_path / "song.wav").read_bytes())
    session = make_session(tmp_path / "out")
    session.separate_file(file, name="song.wav")
    with pytest.raises(stemcli.DecodeError, match=r"at its end\. Call seek\(0\) first"):
        session.separate_file(file, name="other.wav")
    file.seek(100)
    with pytest.raises(stemcli.DecodeError, match=r"read from byte 100; call seek\(0\) first"):
        session.separate_file(file, name="other.wav")
    with pytest.raises(stemcli.DecodeError, match=r"other\.wav is empty \(0 bytes\)\. Use"):
        session.separate_file(io.BytesIO(), name="other.wav")
    file.seek(0)
    session.separate_file(file, name="other.wav")


@pytest.mark.parametrize(
    "name", ["a" * 400 + ".wav", "é" * 300 + ".wav", "a." + "b" * 400, "a." + "語" * 100]
)
def test_a_long_name_is_shortened(tmp_path: Path, name: str) -> None:
    data = song(tmp_path / "song.wav").read_bytes()
    result = make_session(tmp_path / "out").separate_file(io.BytesIO(data), name=name)
    assert result.outputs["vocals"].parent.name.startswith(name[0])


def test_a_long_name_in_a_url_is_shortened() -> None:
    name = name_of(f"https://host/{'a' * 400}.wav")
    assert (len(name), name[-5:]) == (200, "a.wav")


def test_a_file_object_has_the_limit_of_other_songs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv(LIMIT, repr(1000 / 2**30))
    with on_disk(io.BytesIO(b"1" * 1000), "x.wav") as path:
        assert path.stat().st_size == 1000
    endless: Any = Reader(b"1" * 99)
    sentence = rf"^x\.wav is larger than .* GiB\. To allow more, set {LIMIT}"
    with pytest.raises(stemcli.StorageError, match=sentence), on_disk(endless, "x.wav"):
        pass
    assert files(tmp_path) == []


def test_an_interrupted_call_ends_between_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ended = threading.Event()
    ended.set()
    endless: Any = Reader(b"1")
    with pytest.raises(KeyboardInterrupt), on_disk(endless, "x.wav", ended):
        pass
    assert files(tmp_path) == []
