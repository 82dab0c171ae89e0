"""``stem doctor`` on this machine, and with parts of the system taken away."""

from __future__ import annotations

import json
import re
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
from tests.stemcli.cli.conftest import RunStem

NAMES = (
    "python",
    "torch",
    "devices",
    "precision",
    "backends",
    "threads",
    "ffmpeg",
    "soundfile",
    "zoo",
    "settings",
    "disk",
)


def run_checks(run_stem: RunStem) -> dict[str, Check]:
    listed = json.loads(run_stem("doctor", "--json").stdout)
    return {check["name"]: Check(**check) for check in listed}


def test_all_checks_run(run_stem: RunStem) -> None:
    import torch

    checks = run_checks(run_stem)
    assert tuple(checks)[: len(NAMES)] == NAMES
    assert [name for name in NAMES if not checks[name].ok] == []
    assert {checks[name].advice for name in NAMES} == {""}
    assert torch.__version__ in checks["torch"].found
    assert checks["threads"].found.startswith(f"{torch.get_num_threads()} of ")


def test_output_for_people(run_stem: RunStem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "CHECKS", {"python": doctor.python})
    result = run_stem("doctor")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0].startswith("ok   python   3.")
    assert result.stdout.splitlines()[-1] == "All checks passed."


def without_ffmpeg() -> str:
    raise FfmpegMissingError("no ffmpeg was found: install it")


def test_a_missing_ffmpeg(run_stem: RunStem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stemcli.audio.ffmpeg_binary.find_ffmpeg", without_ffmpeg)
    result = run_stem("doctor")
    assert result.exit_code == 1
    assert "Error: ffmpeg: no ffmpeg was found: install it\n" in result.stderr


def test_a_full_disk(run_stem: RunStem, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = SimpleNamespace(free=LITTLE_DISK - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    check = run_checks(run_stem)["disk"]
    assert (check.ok, check.advice) == (False, "Write elsewhere with --output, or free some space")


needs_proc = pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc, as on Linux")


@needs_proc
def test_a_full_disk_for_temporary_files(
    run_stem: RunStem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/proc is another file system; the free space is faked."""
    free = {Path.cwd(): LITTLE_DISK, Path("/proc"): LITTLE_DISK - 1}
    monkeypatch.setattr(tempfile, "gettempdir", lambda: "/proc")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free[path]))
    (check,) = doctor.disk()
    assert (check.ok, check.advice.startswith("Free some space in /proc, or set TMPDIR")) == (
        False,
        True,
    )
    assert check.found.endswith(" in /proc for temporary files")


def test_one_disk_is_listed_once_while_it_fills(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other programs may write between two measurements."""
    amounts = count(9 * LITTLE_DISK, -1_000_000)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(Path.cwd()))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=next(amounts)))
    (check,) = doctor.disk()
    assert (check.ok, "for temporary files" in check.found) == (True, False)


@pytest.mark.parametrize(
    "name", ["file", "file/zoo", "link", pytest.param("/proc/zoo", marks=needs_proc)]
)
def test_a_zoo_folder_that_cannot_be_created(
    name: str, tmp_path: Path, run_stem: RunStem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even root can create a folder in /proc (proc(5))."""
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    monkeypatch.setenv("STEM_HOME", str(tmp_path / name))
    check = run_checks(run_stem)["zoo"]
    assert (check.ok, check.advice) == (False, "Set STEM_HOME to a writable folder")
    assert str(tmp_path / name) in check.found


def test_checking_the_zoo_does_not_create_it(tmp_path: Path, run_stem: RunStem) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert run_checks(run_stem)["zoo"].found.endswith("/.zoo (created when needed)")
    assert sorted(tmp_path.rglob("*")) == before


@needs_proc
def test_an_unwritable_current_folder(
    tmp_path: Path, run_stem: RunStem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/proc")
    check = run_checks(run_stem)["disk"]
    assert (check.ok, check.advice) == (False, "Write elsewhere with --output")
    assert check.found.startswith("/proc cannot be written (")


def test_a_crashing_check_is_reported_as_failed(
    run_stem: RunStem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.get_num_threads", lambda: 1 / 0)
    check = run_checks(run_stem)["threads"]
    assert not check.ok
    assert "ZeroDivisionError" in check.found


@pytest.mark.parametrize(("content", "ok"), [(b"", True), (b"more", False)])
def test_bundled_models_are_verified(
    content: bytes, ok: bool, tmp_path: Path, run_stem: RunStem, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(small_network(), Card("tiny", "melrnn", stems=("vocals",)))
    with (tmp_path / ".zoo/tiny.safetensors").open("ab") as file:
        file.write(content)
    monkeypatch.setattr("model_zoo.catalogue.cards.BUNDLED", tmp_path / ".zoo")
    assert run_checks(run_stem)["model tiny"].ok is ok


def test_a_damaged_card(tmp_path: Path, run_stem: RunStem) -> None:
    (tmp_path / ".zoo").mkdir()
    (tmp_path / ".zoo/torn.toml").write_text("]")
    assert "torn.toml cannot be used" in run_checks(run_stem)["card"].found
    assert not run_checks(run_stem)["card"].ok


def test_no_bundled_model(
    tmp_path: Path, run_stem: RunStem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model_zoo.catalogue.cards.BUNDLED", tmp_path)
    assert not run_checks(run_stem)["models"].ok


@pytest.mark.parametrize(
    ("output", "version"),
    [("ffmpeg version 6.1.1-3ubuntu5 Copyright", "6.1.1-3ubuntu5"), ("", "un")],
)
def test_version_of_ffmpeg(output: str, version: str) -> None:
    assert doctor._version(output).startswith(version)


def test_settings_in_force(
    tmp_path: Path, run_stem: RunStem, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / ".settings/config.toml"
    expected = f"none, neither in {file} nor in the environment"
    assert run_checks(run_stem)["settings"] == Check("settings", expected)
    run_stem("config", "set", "jobs", "2")
    monkeypatch.setenv("STEM_FORMAT", "mp3")
    monkeypatch.setenv("STEM_FORMT", "mp3")
    checks = run_checks(run_stem)
    assert checks["settings"].found == f"format = mp3 (STEM_FORMAT), jobs = 2 ({file})"
    assert checks["environment"].found == "STEM_FORMT has no effect. Did you mean STEM_FORMAT?"


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({"STEM_DEVICE": "cuda:99"}, r"(cuda|CUDA).*\(from STEM_DEVICE\)"),
        ({"STEM_MODEL": "htdemucs"}, r"The weights of htdemucs .*\(from STEM_MODEL\)"),
        ({"STEM_STEMS": "flute"}, r"Unknown stem 'flute'.*\(from STEM_STEMS\)"),
        ({"STEM_FORMAT": "mp3", "STEM_BITRATE": "999"}, "STEM_BITRATE of mp3 goes from 64 to 320"),
        (
            {"STEM_STEMS": "vocals", "STEM_TWO_STEMS": "vocals"},
            "STEM_STEMS and STEM_TWO_STEMS contradict each other",
        ),
        ({"STEM_FILENAME": "{track}.{ext}"}, r"would both be written to .*add \{stem\}"),
    ],
)
def test_settings_that_a_separation_refuses(
    variables: dict[str, str], found: str, run_stem: RunStem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each value is right by itself; the sentence is that of the separation."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    check = run_checks(run_stem)["settings"]
    assert (check.ok, check.advice) == (False, "See: stem config show")
    assert re.search(found, check.found)


def test_settings_that_cannot_be_used(
    tmp_path: Path, run_stem: RunStem, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".settings").mkdir()
    (tmp_path / ".settings/config.toml").write_text("format =")
    monkeypatch.setenv("STEM_JOBS", "many")
    check = run_checks(run_stem)["settings"]
    assert (check.ok, check.advice) == (False, "See: stem config show")
    assert "config.toml: the file is not valid TOML" in check.found
    assert check.found.endswith("'many' is not a whole number from 1 to 64")
