"""``stem doctor``: what is there is found, and what is taken away is missed."""

from __future__ import annotations

import json
import shutil
import tempfile
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

from model_zoo.catalogue.cards import Card
from model_zoo.catalogue.install import install
from model_zoo.errors import FfmpegMissingError
from stemcli.cli import doctor
from stemcli.cli.doctor import LITTLE_DISK, Check
from tests.model_zoo.small import small_network
from tests.stemcli.cli.conftest import Typed

NAMES = ("python", "torch", "devices", "precision", "threads", "ffmpeg", "soundfile", "zoo", "disk")


def found(typed: Typed) -> dict[str, Check]:
    listed = json.loads(typed("doctor", "--json").stdout)
    return {check["name"]: Check(**check) for check in listed}


def test_looks_at_everything(typed: Typed) -> None:
    import torch

    seen = found(typed)
    assert tuple(seen)[: len(NAMES)] == NAMES
    assert [name for name in NAMES if not seen[name].ok] == []
    assert {seen[name].advice for name in NAMES} == {""}
    assert torch.__version__ in seen["torch"].found
    assert seen["threads"].found.startswith(f"{torch.get_num_threads()} of ")


def test_for_people(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "CHECKS", {"python": doctor.python})
    result = typed("doctor")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0].startswith("ok   python   3.")
    assert result.stdout.splitlines()[-1] == "All checks passed."


def without_ffmpeg() -> str:
    raise FfmpegMissingError("no ffmpeg was found: install it")


def test_a_missing_ffmpeg(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stemcli.audio.ffmpeg_binary.find_ffmpeg", without_ffmpeg)
    result = typed("doctor")
    assert result.exit_code == 1
    assert "Error: ffmpeg: no ffmpeg was found: install it\n" in result.stderr


def test_a_full_disk(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    little = SimpleNamespace(free=LITTLE_DISK - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: little)
    check = found(typed)["disk"]
    assert (check.ok, check.advice) == (False, "Write elsewhere with --output, or free some space")


needs_proc = pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc, as on Linux")


@needs_proc
def test_a_full_disk_for_temporary_files(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    """/proc is a file system of its own, which has no room; what is free here is made up."""
    free = {Path.cwd(): LITTLE_DISK, Path("/proc"): LITTLE_DISK - 1}
    monkeypatch.setattr(tempfile, "gettempdir", lambda: "/proc")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free[path]))
    (check,) = doctor.disk()
    assert (check.ok, check.advice.startswith("Free some space in /proc, or set TMPDIR")) == (
        False,
        True,
    )
    assert check.found.endswith(" in /proc for temporary files")


def test_one_disk_is_named_once_while_it_fills(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program may write between two measurements."""
    amounts = count(9 * LITTLE_DISK, -1_000_000)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(Path.cwd()))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=next(amounts)))
    (check,) = doctor.disk()
    assert (check.ok, "for temporary files" in check.found) == (True, False)


@pytest.mark.parametrize(
    "name", ["file", "file/zoo", "link", pytest.param("/proc/zoo", marks=needs_proc)]
)
def test_a_zoo_that_cannot_be(
    name: str, tmp_path: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel lets nobody make a folder in /proc, not even root (proc(5))."""
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    monkeypatch.setenv("STEM_HOME", str(tmp_path / name))
    check = found(typed)["zoo"]
    assert (check.ok, check.advice) == (False, "Set STEM_HOME to a writable folder")
    assert str(tmp_path / name) in check.found


def test_looking_at_a_zoo_makes_none(tmp_path: Path, typed: Typed) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert found(typed)["zoo"].found.endswith("/.zoo (created when needed)")
    assert sorted(tmp_path.rglob("*")) == before


@needs_proc
def test_a_current_folder_that_cannot_be_written(
    tmp_path: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/proc")
    check = found(typed)["disk"]
    assert (check.ok, check.advice) == (False, "Write elsewhere with --output")
    assert check.found.startswith("/proc cannot be written (")


def test_a_look_that_breaks_is_a_finding(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.get_num_threads", lambda: 1 / 0)
    check = found(typed)["threads"]
    assert not check.ok
    assert "ZeroDivisionError" in check.found


@pytest.mark.parametrize(("content", "ok"), [(b"", True), (b"more", False)])
def test_bundled_models_are_verified(
    content: bytes, ok: bool, tmp_path: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(small_network(), Card("tiny", "melrnn", stems=("vocals",)))
    with (tmp_path / ".zoo/tiny.safetensors").open("ab") as file:
        file.write(content)
    monkeypatch.setattr("model_zoo.catalogue.cards.BUNDLED", tmp_path / ".zoo")
    assert found(typed)["model tiny"].ok is ok


def test_a_card_that_cannot_be_used(tmp_path: Path, typed: Typed) -> None:
    (tmp_path / ".zoo").mkdir()
    (tmp_path / ".zoo/torn.toml").write_text("]")
    assert "torn.toml cannot be used" in found(typed)["card"].found
    assert not found(typed)["card"].ok


def test_no_bundled_model(tmp_path: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model_zoo.catalogue.cards.BUNDLED", tmp_path)
    assert not found(typed)["models"].ok


@pytest.mark.parametrize(
    ("said", "version"), [("ffmpeg version 6.1.1-3ubuntu5 Copyright", "6.1.1-3ubuntu5"), ("", "un")]
)
def test_version_of_ffmpeg(said: str, version: str) -> None:
    assert doctor._version(said).startswith(version)
