"""The types of the public interface, checked by mypy on a client program."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

CLIENT = Path(__file__).with_name("typed_client.py")

WRONG = """
import stemcli

stemcli.Options(model=3)
stemcli.Options(bit_depth="16")
stemcli.separate("song.wav", shifts="2")
stemcli.separate("song.wav", sample_rate=8000)
stemcli.Session(existing="maybe")
x: int = stemcli.separate("song.wav")
stemcli.separat("song.wav")
stemcli.Options(format="mp4")
stemcli.Options(depth="20")
stemcli.separate("song.wav", options=stemcli.Options())
"""
"""Each call has one error."""


def test_the_packages_are_marked_as_typed() -> None:
    for package in ("model_zoo", "stemcli", "trainers"):
        assert files(package).joinpath("py.typed").is_file()


@pytest.mark.slow
def test_a_client_program_passes_mypy_strict(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text(WRONG)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache")]
    config = ["--config-file", str(Path(__file__).parents[3] / "pyproject.toml")]
    code, output = checked([*command, *config, str(CLIENT)])
    assert code == 0, output
    _, output = checked([*command, *config, str(wrong)])
    lines = {line.split(":")[1] for line in output.splitlines() if ": error:" in line}
    assert lines == {str(number) for number in range(4, 14)}, output


def checked(command: list[str]) -> tuple[int, str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout
