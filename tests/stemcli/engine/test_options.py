from __future__ import annotations

import subprocess
import sys

import pytest

from model_zoo.errors import ConfigError
from stemcli.engine.options import Options


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        ({"model": ()}, "add model=NAME"),
        ({"model": ("a", "a")}, "named twice"),
        ({"stems": ("a", "a")}, "named twice"),
        ({"stems": ("a",), "two_stems": "b"}, "contradict each other"),
        ({"two_stems": "b", "karaoke": True}, "two_stems and karaoke contradict each other"),
        (
            {"model": ("a", "b"), "weights": (1.0, 2.0), "combine": "max"},
            "weights count in a mean only; leave out combine='max'",
        ),
        ({"workflow": "a.toml", "karaoke": True}, "workflow and karaoke contradict each other"),
        ({"overlap": 1.0}, "overlap must be at least 0 and below 1"),
        ({"overlap": float("nan")}, "overlap must be at least 0 and below 1"),
        ({"segment": 0.1}, r"segment must be from 0\.25 to 600"),
        ({"shifts": 0}, "shifts must be at least 1"),
        ({"batch_size": -1}, "batch_size must be at least 1, or 0 for automatic"),
        ({"start": -1.0}, "start must be from 0 to 1,000,000 seconds"),
        ({"start": 5.0, "end": 5.0}, "end must come after start"),
        ({"clip_mode": "soft"}, "clip_mode must be one of"),
        ({"precision": "fp8"}, "precision must be one of"),
        ({"shifts": 1.5}, "shifts must be a whole number"),
        ({"format": "mp3", "depth": "24"}, "mp3"),
    ],
)
def test_invalid_values_are_refused(choice: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        Options(**choice)


def test_all_mistakes_are_reported_together() -> None:
    with pytest.raises(ConfigError) as caught:
        Options(overlap=2.0, shifts=0, start=-1.0)
    assert len(caught.value.mistakes) == 3


def test_an_unknown_option_gets_a_suggestion() -> None:
    with pytest.raises(ConfigError, match="did you mean 'overlap'"):
        Options.from_dict({"overlapp": 0.5})


def test_importing_the_package_loads_no_heavy_module() -> None:
    """Checked by the loaded modules, not by time."""
    code = (
        "import sys, stemcli, stemcli.engine.options, stemcli.engine.events; stemcli.Options();"
        "print(*({'torch', 'numpy', 'soundfile', 'ray', 'click', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_public_names_resolve() -> None:
    import stemcli

    for name in stemcli.__all__:
        assert getattr(stemcli, name).__name__ == name
    assert dir(stemcli) == sorted([*stemcli.__all__, "__version__"])
    with pytest.raises(AttributeError, match="no attribute 'seperate'"):
        stemcli.__getattr__("seperate")
