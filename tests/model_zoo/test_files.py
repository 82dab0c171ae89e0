"""Users without a home folder get a private temporary one."""

from __future__ import annotations

import os
import tempfile
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from model_zoo import files
from model_zoo.catalogue.cards import zoo_home
from model_zoo.errors import OutputError
from model_zoo.files import has_home, temporary_home

pwd = pytest.importorskip("pwd", reason="Windows has no passwd")


@pytest.fixture(autouse=True)
def without_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No environment variable and no entry in /etc/passwd gives this user's home."""

    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("HOME", "STEM_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_the_temporary_home_is_private_and_stable(tmp_path: Path) -> None:
    assert not has_home()
    home = temporary_home()
    assert home.parent == tmp_path
    assert home.stat().st_mode & 0o777 == 0o700
    assert temporary_home() == home


def test_the_zoo_is_in_the_temporary_home(tmp_path: Path) -> None:
    assert zoo_home().is_relative_to(temporary_home())


def open_to_all(home: Path) -> None:
    home.mkdir()
    home.chmod(0o777)


def link(home: Path) -> None:
    (home.parent / "elsewhere").mkdir()
    home.symlink_to("elsewhere")


@pytest.mark.parametrize("make", [open_to_all, link, Path.touch])
def test_a_folder_that_others_may_have_created_is_refused(make: object, tmp_path: Path) -> None:
    """In the temporary folder, others could create it first and put weights or caches into it."""
    assert callable(make)
    make(tmp_path / f"stem-home-{os.getuid()}")
    with pytest.raises(OutputError, match="Set HOME"):
        temporary_home()


def test_a_folder_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uid = os.getuid()
    (tmp_path / f"stem-home-{uid + 1}").mkdir(mode=0o700)
    monkeypatch.setattr(os, "getuid", lambda: uid + 1)
    with pytest.raises(OutputError, match=r"belongs to another user\. Set HOME to a folder"):
        temporary_home()


@pytest.mark.parametrize("length", [100, 250])
def test_a_long_path_on_windows(
    length: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows finds no file whose path has more than 259 characters."""

    def refuse(path: Path) -> None:
        raise FileNotFoundError(2, "No such file or directory", str(path))

    monkeypatch.setattr(files, "os", SimpleNamespace(name="nt"))
    monkeypatch.setattr(Path, "touch", refuse)
    advice = "Shorten the name" if length > 200 else "Choose a writable"
    path = tmp_path / ("a" * (length - len(str(tmp_path))))
    with pytest.raises(OutputError, match=advice), files.staged(path):
        pytest.fail("the file was created")


@pytest.mark.parametrize("refusals", [0, 3, 99])
def test_a_virus_scanner_has_the_file_open(
    refusals: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Windows, a file that another program has open cannot be replaced; scanners are short."""
    calls, pauses, replace = iter(range(100)), list[float](), Path.replace

    def refuse(path: Path, target: Path) -> Path:
        if next(calls) < refusals:
            raise PermissionError(13, "Access is denied")
        return replace(path, target)

    monkeypatch.setattr(files, "os", SimpleNamespace(name="nt"))
    monkeypatch.setattr(files.time, "sleep", pauses.append)
    monkeypatch.setattr(Path, "replace", refuse)
    target = tmp_path / "a.safetensors"
    target.write_text("old")
    expected = nullcontext() if refusals < 99 else pytest.raises(OutputError, match="Close the")
    with expected, files.staged(target) as temporary:
        temporary.write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    assert target.read_text() == ("new" if refusals < 99 else "old")
    assert len(pauses) == min(refusals, len(files.PAUSES))
    assert sum(files.PAUSES) < 2
