"""``stem models advise``: what it shows, and what it says if nothing fits.

Expected scores are those of the catalogue; times are worked by hand from speeds in the cache.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from model_zoo.catalogue.cards import Card
from model_zoo.catalogue.install import install
from model_zoo.catalogue.public import find_public
from model_zoo.importers.published import network_options
from stemcli.engine.device import machine
from stemcli.engine.network_speed import NetworkSpeeds, _key
from tests.model_zoo.small import small_network
from tests.stemcli.cli.conftest import RunStem
from tests.stemcli.cli.results import error_line

FILE = "network-speeds.json"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / ".cache"
    monkeypatch.setenv("STEM_CACHE", str(folder))
    return folder


def keep(cache: Path, **speeds: float) -> None:
    """Write speeds of public networks as measured on this machine."""
    keys = {}
    for name, speed in speeds.items():
        model = find_public(name)
        assert model is not None
        keys[_key(model.architecture, network_options(model) or {})] = speed
    cache.mkdir(exist_ok=True)
    place = f"{machine(torch.device('cpu'))}, cpu, PyTorch {torch.__version__}"
    (cache / FILE).write_text(json.dumps({place: keys}))


def advised(run_stem: RunStem, *options: str) -> dict[str, Any]:
    result = run_stem("models", "advise", "-d", "cpu", "--no-measure", *options, "--json")
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def test_vocals_by_score(run_stem: RunStem, cache: Path) -> None:
    """By hand: 0.5 s for a second, half of each chunk new: 0.5 * 240 / 0.5 = 240 s."""
    keep(cache, mel_band_roformer_kim=0.5)
    found = advised(run_stem)
    first = found["models"][0]
    assert (found["stems"], found["advice"]["name"]) == (["vocals"], "mel_band_roformer_kim")
    assert (first["seconds"], first["song_seconds"], first["installed"]) == (240, 240, False)
    assert first["score"]["dataset"] == "Multisong (MVSep)"
    assert first["score"]["value"] == pytest.approx(10.98)
    assert first["command"] == "stem separate SONG --model mel_band_roformer_kim"
    assert [each["seconds"] for each in found["models"][1:]] == [None] * 4
    assert found["count"] > len(found["models"]) == 5


def test_what_people_read(run_stem: RunStem, cache: Path) -> None:
    keep(cache, mel_band_roformer_kim=0.5)
    result = run_stem("models", "advise", "-d", "cpu", "--no-measure")
    header, first, *_ = result.stdout.splitlines()
    assert "4:00 takes" in header
    assert " ".join(first.split()) == (
        "mel_band_roformer_kim 11.0 Multisong (MVSep) 4:00 MIT 912.9 MB"
    )
    assert (
        "Take mel_band_roformer_kim: of these, it has the highest SDR of vocals on "
        "Multisong (MVSep); a song of 4:00 takes 4:00; it needs a download of 912.9 MB\n"
    ) in result.stderr
    assert "Try: stem separate SONG --model mel_band_roformer_kim\n" in result.stderr


def test_drums_by_score_and_licence(run_stem: RunStem) -> None:
    """By hand: SCNet XL leads (no grant); with a stated licence, Open-Unmix is first (MIT)."""
    found = advised(run_stem, "--stem", "drums")
    assert found["advice"]["name"] == "scnet_xl"
    consent = "you must first accept that nobody has granted a right to use the weights"
    assert found["advice"]["reason"].endswith(consent)
    assert found["models"][0]["command"] == "stem separate SONG --model scnet_xl --stems drums"
    free = advised(run_stem, "--stem", "drums", "--commercial")
    assert free["advice"]["name"] == "umxhq"
    assert {each["licence"] for each in free["models"]} == {"MIT"}
    assert advised(run_stem, "--stem", "drums", "--licence", "mit") == free


def test_a_score_on_unknown_data_is_said_to_be_one(run_stem: RunStem) -> None:
    """By hand: the only network of lead vocals with a score has 10.2 dB on data not stated."""
    found = advised(run_stem, "--stem", "lead_vocals")
    assert found["advice"]["name"] == "mel_band_roformer_aufr33_karaoke"
    expected = "the highest published SDR of lead_vocals, on data that nobody states; "
    assert expected in found["advice"]["reason"]


def test_several_stems(run_stem: RunStem) -> None:
    found = advised(run_stem, "--stem", "guitar", "--stem", "piano")
    assert {"bs_roformer_sw", "htdemucs_6s"} <= {each["name"] for each in found["models"]}
    assert found["models"][0]["command"].endswith("--stems guitar,piano")


def test_models_within_a_time(run_stem: RunStem, cache: Path) -> None:
    """By hand: Kim's takes 4:00 as above, MDX23C with 0.1 and 7/8 of overlap 3:12."""
    keep(cache, mel_band_roformer_kim=0.5, mdx23c_8kfft_instvoc_hq=0.1)
    found = advised(run_stem, "--within", "3:30")
    times = {each["name"]: each["seconds"] for each in found["models"]}
    assert times == {"mdx23c_8kfft_instvoc_hq": 192}
    said = run_stem("models", "advise", "-d", "cpu", "--no-measure", "--within", "3:30").stderr
    assert f"1 of {found['count']} models that give vocals are fast enough; " in said
    assert f"; {found['not_measured']} more were not measured\n" in said
    assert 0 < found["not_measured"] < found["count"] - 2  # two have a time, some have no size


def test_counts_of_a_licence(run_stem: RunStem, cache: Path) -> None:
    keep(cache, mel_band_roformer_kim=0.5)
    options = ("--within", "4:00", "--licence", "mit")
    count = advised(run_stem, *options)["count"]
    said = run_stem("models", "advise", "-d", "cpu", "--no-measure", *options).stderr
    assert f"1 of {count} models that give vocals under such a licence are fast enough" in said


def measure_as(speed: float, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Networks whose measurement is asked for; each takes ``speed`` seconds for one of stereo."""
    asked: list[str] = []

    def measure(self: NetworkSpeeds, architecture: str, options: Any) -> float:
        asked.append(architecture)
        return speed

    monkeypatch.setattr(NetworkSpeeds, "measure", measure)
    return asked


def test_slow_networks_are_measured_five_at_a_time(
    run_stem: RunStem, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = measure_as(1000.0, monkeypatch)
    message = error_line(run_stem("models", "advise", "-d", "cpu", "--within", "9:00"), 2)
    assert len(asked) == 5
    assert "No model that was measured separates a song of 4:00 in 9:00 here; " in message
    assert " more were not measured. Run the command again to measure 5 of them, or" in message


def test_networks_that_cannot_run_do_not_use_up_the_five(
    run_stem: RunStem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand: the first six do not fit in memory, the next five are fast."""
    asked: list[str] = []

    def measure(self: NetworkSpeeds, architecture: str, options: Any) -> float:
        asked.append(architecture)
        if len(asked) <= 6:
            raise MemoryError
        return 0.01

    monkeypatch.setattr(NetworkSpeeds, "measure", measure)
    result = run_stem("models", "advise", "-d", "cpu", "--within", "9:00", "--json")
    found = json.loads(result.stdout)["models"]
    assert (len(asked), len(found)) == (11, 5)
    assert all(each["seconds"] for each in found)


def test_no_more_are_measured_than_are_shown_within_a_time(
    run_stem: RunStem, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand: the first five are fast; a known one with a lower score is counted, not shown."""
    asked = measure_as(0.01, monkeypatch)
    keep(cache, umxhq=0.01)
    options = ("models", "advise", "-d", "cpu", "--stem", "drums", "--within", "9:00")
    found = json.loads(run_stem(*options, "--json").stdout)
    assert len(asked) == len(found["models"]) == 5
    assert "umxhq" not in {each["name"] for each in found["models"]}
    said = run_stem(*options).stderr
    assert f"6 of {found['count']} models that give drums are fast enough; the first 5 are" in said


def test_an_installed_model_is_measured_once(
    run_stem: RunStem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The only model that gives ``band``; its options are in its weights."""
    install(small_network(), Card("tiny", "melrnn", stems=("vocals",), residual="band"))
    options = ("models", "advise", "--stem", "band", "-d", "cpu", "--json")
    (first,) = json.loads(run_stem(*options).stdout)["models"]
    assert (first["name"], first["installed"], first["licence"]) == ("tiny", True, "not stated")
    assert 0 < first["seconds"] < 600
    said = "Measuring networks on this machine, once"
    assert said not in run_stem(*options[:-1]).stderr
    monkeypatch.delattr(NetworkSpeeds, "measure")
    assert json.loads(run_stem(*options).stdout)["models"] == [first]
    assert "Take tiny: no published SDR; this one is installed; " in run_stem(*options[:-1]).stderr


def test_without_scores_the_smallest_is_first(run_stem: RunStem) -> None:
    """By hand: two of the catalogue give dry and noise; only one of them has a score, of dry."""
    found = advised(run_stem, "--stem", "noise")
    sizes = [each["size"] for each in found["models"]]
    assert sizes == sorted(sizes)
    assert found["advice"]["reason"].startswith("no published SDR; this one is the smallest; ")


def test_stems_in_any_spelling(run_stem: RunStem) -> None:
    """By hand: accompaniment is a synonym of what the models call instrumental."""
    assert advised(run_stem, "--stem", "Drums") == advised(run_stem, "--stem", "drums")
    found, same = (advised(run_stem, "--stem", name) for name in ("accompaniment", "instrumental"))
    assert found["count"] == same["count"] > 60
    assert [each["name"] for each in found["models"]] == [each["name"] for each in same["models"]]
    assert found["models"][0]["score"] == same["models"][0]["score"]
    assert same["models"][0]["score"]["stem"] == "instrumental"
    assert found["models"][0]["command"].endswith(" --stems accompaniment")
    both = advised(run_stem, "--stem", "instrumental", "--stem", "Accompaniment")
    assert both == same


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            "--stem drumz",
            "Unknown stem 'drumz': did you mean 'drums'? See: stem models list --all",
        ),
        (
            "--stem xyzzy",
            "Unknown stem 'xyzzy': no model gives it. See: stem models list --all",
        ),
        ("--stem kick --stem speech", "No model gives kick and speech together"),
        ("--licence gpl-2", "Unknown licence 'gpl-2': did you mean 'GPL-3.0'?"),
        ("--stem crowd --commercial", "No such model has a stated licence that allows commercial"),
        ("--within 1 --no-measure", "No time of 0:01 or less was measured before"),
        ("--within soon", "'soon' is not a time"),
        ("-d cuda:99 --no-measure", "GPU"),
    ],
)
def test_wrong_options(options: str, message: str, run_stem: RunStem) -> None:
    assert message in error_line(run_stem("models", "advise", *options.split()), 2)


def test_nothing_is_measured_that_is_not_shown(
    run_stem: RunStem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Networks that cannot be measured have no time."""
    asked: list[str] = []

    def fails(self: NetworkSpeeds, architecture: str, options: Any) -> float:
        asked.append(architecture)
        raise MemoryError

    monkeypatch.setattr(NetworkSpeeds, "measure", fails)
    result = run_stem("models", "advise", "-d", "cpu", "--json")
    assert {each["seconds"] for each in json.loads(result.stdout)["models"]} == {None}
    assert len(asked) == 5
    assert "Measuring networks on this machine, once" in run_stem("models", "advise").stderr


def test_if_all_are_too_slow(run_stem: RunStem, monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: the only model of the crowd takes longer than nine seconds."""
    asked = measure_as(1000.0, monkeypatch)
    too_slow = error_line(run_stem("models", "advise", "--stem", "crowd", "--within", "9"), 2)
    assert len(asked) == 1
    assert "No such model separates a song of 4:00 in 0:09 here. Allow more time" in too_slow
