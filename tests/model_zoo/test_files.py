"""Users without a home. Truth: permissions of the folder that takes its place."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from model_zoo.catalogue.cards import zoo_home
from model_zoo.errors import OutputError
from model_zoo.files import has_home, temporary_home

pwd = pytest.importorskip("pwd", reason="Windows has no passwd")


@pytest.fixture(autouse=True)
def nameless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable and no line in /etc/passwd says where the home of this user is."""

    def unknown(number: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    for name in ("HOME", "STEM_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_it_is_private_and_the_same_every_time(tmp_path: Path) -> None:
    assert not has_home()
    home = temporary_home()
    assert home.parent == tmp_path
    assert home.stat().st_mode & 0o777 == 0o700
    assert temporary_home() == home


def test_models_lie_there(tmp_path: Path) -> None:
    assert zoo_home().is_relative_to(temporary_home())


def open_to_all(home: Path) -> None:
    home.mkdir()
    home.chmod(0o777)


def link(home: Path) -> None:
    (home.parent / "elsewhere").mkdir()
    home.symlink_to("elsewhere")


@pytest.mark.parametrize("make", [open_to_all, link, Path.touch])
def test_what_others_may_have_made_is_not_used(make: object, tmp_path: Path) -> None:
    """In a temporary folder anybody may make it first, and put weights or caches into it."""
    assert callable(make)
    make(tmp_path / f"stem-home-{os.getuid()}")
    with pytest.raises(OutputError, match="Set HOME"):
        temporary_home()


def test_a_folder_of_another_user_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = os.getuid()
    (tmp_path / f"stem-home-{number + 1}").mkdir(mode=0o700)
    monkeypatch.setattr(os, "getuid", lambda: number + 1)
    with pytest.raises(OutputError, match=r"belongs to another user\. Set HOME to a folder"):
        temporary_home()
