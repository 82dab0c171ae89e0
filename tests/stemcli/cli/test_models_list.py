"""``stem models list`` and ``info`` over the catalogue of public models.

Expected values are those of the data files, read by the catalogue's own reader, or worked by hand.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from model_zoo.catalogue.cards import Card
from model_zoo.catalogue.install import install
from model_zoo.catalogue.public import presets, public_models
from tests.model_zoo.small import small_network
from tests.stemcli.cli.conftest import ROOT, RunStem
from tests.stemcli.cli.results import error_line

BUNDLED = ["melroformer", "spleeter_2stems"]


def names(run_stem: RunStem, *options: str) -> list[str]:
    """Names of models that a list shows people, in its order."""
    result = run_stem("models", "list", *options)
    assert result.exit_code == 0, result.output
    table, _, _ = result.stdout.partition("\n\n")
    return [line.split()[0] for line in table.splitlines()[1:]]


def all_documents(run_stem: RunStem, *options: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(run_stem("models", "list", *options, "--json").stdout)
    return listed


def documents(run_stem: RunStem, *options: str) -> list[dict[str, Any]]:
    """Documents of models, without those of presets."""
    return [each for each in all_documents(run_stem, *options) if each["role"] != "preset"]


def test_the_usual_list_has_installed_models_only(run_stem: RunStem) -> None:
    assert names(run_stem) == names(run_stem, "--installed") == BUNDLED
    assert [each["name"] for each in documents(run_stem)] == BUNDLED


def test_all_models(run_stem: RunStem) -> None:
    assert names(run_stem, "--all") == [*BUNDLED, *public_models()]
    result = run_stem("models", "list", "--all")
    (row,) = [line for line in result.stdout.splitlines() if line.startswith("umxhq ")]
    assert " ".join(row.split()) == "umxhq vocals, drums, bass, other vocals 6.2 MIT 142.6 MB no"
    (row,) = [line for line in result.stdout.splitlines() if "53_stems" in line]
    assert "accordion, acoustic_guitar, back_vocals, banjo, ... (53 stems)" in row
    assert "SDR as published, each by its own definition" in result.stderr


def test_presets_are_below_the_models(run_stem: RunStem) -> None:
    output = run_stem("models", "list", "--all").stdout
    header, *rows = output.partition("\n\n")[2].splitlines()
    assert header.split() == ["preset", "gives", "members"]
    assert [row.split()[0] for row in rows] == [*presets()]
    (row,) = [" ".join(row.split()) for row in rows if row.startswith("cdx23_dnr")]
    members = "htdemucs_cdx23_a, htdemucs_cdx23_b, htdemucs_cdx23_c"
    assert row == f"cdx23_dnr music, sfx, speech {members}"
    assert all_documents(run_stem)[-1]["role"] == "stems"


def test_presets_as_json(run_stem: RunStem) -> None:
    """Reference: the data file."""
    last = all_documents(run_stem, "--all")[-len(presets()) :]
    assert {each["role"] for each in last} == {"preset"}
    assert [(each["name"], tuple(each["members"])) for each in last] == [
        (one.name, one.members) for one in presets().values()
    ]
    assert all(each["outputs"] == each["stems"] for each in last)


def test_presets_of_a_stem_and_a_licence(run_stem: RunStem) -> None:
    """By hand: one preset gives speech; the members of htdemucs_ft have no grant, not the MIT."""

    def listed(*options: str) -> list[str]:
        found = all_documents(run_stem, *options)
        return [each["name"] for each in found if each["role"] == "preset"]

    assert listed("--stem", "Speech") == ["cdx23_dnr"]
    assert "htdemucs_ft" in listed("--licence", "no grant")
    assert listed("--licence", "mit") == []


def test_stems_in_any_spelling(run_stem: RunStem) -> None:
    """By hand: the score of ``instrumental`` is that of a model's accompaniment."""
    assert names(run_stem, "--stem", "Piano") == names(run_stem, "--stem", "piano")
    options = ("--sort", "sdr", "--stem")
    found = names(run_stem, *options, "accompaniment")
    assert found == names(run_stem, *options, "NO_VOCALS")
    assert "spleeter_2stems" in found
    (row,) = [
        line
        for line in run_stem("models", "list", *options, "accompaniment").stdout.splitlines()
        if line.startswith("bs_roformer_unwa_inst_fno ")
    ]
    assert " instrumental 17.6 " in row


def test_what_is_left_to_fetch(run_stem: RunStem) -> None:
    """By hand: 178 networks, of which 13 cannot be built; then one of the others is installed."""
    more = "more can be fetched: stem models list --all\n"
    assert f"\n165 {more}" in run_stem("models", "list").stderr
    install(small_network(), Card("umxhq", "melrnn", stems=("vocals",), residual="band"))
    for options in ((), ("--installed", "--licence", "mit")):
        assert f"\n164 {more}" in run_stem("models", "list", *options).stderr


def test_models_of_a_stem(run_stem: RunStem) -> None:
    found = names(run_stem, "--stem", "piano")
    assert found == [name for name, each in public_models().items() if "piano" in each.outputs]
    assert {"bs_roformer_sw", "htdemucs_6s", "spleeter_5stems"} <= {*found}
    assert names(run_stem, "--stem", "vocals", "--installed") == BUNDLED


def test_models_under_a_licence(run_stem: RunStem) -> None:
    found = names(run_stem, "--licence", "mit")
    assert {*BUNDLED, "umxhq", "mel_band_roformer_kim", "spleeter_4stems"} <= {*found}
    assert {each["licence"] for each in documents(run_stem, "--licence", "mit")} == {"MIT"}
    licences = {each["licence"] for each in documents(run_stem, "--licence", "cc by nc")}
    assert licences == {"CC-BY-NC-SA-4.0"}
    assert "htdemucs" in names(run_stem, "--licence", "no grant")


def test_order_by_score(run_stem: RunStem) -> None:
    """By hand: SCNet XL has 11.58 dB on Multisong, SCNet masked XL 11.38, Open-Unmix 6.04."""
    found = names(run_stem, "--stem", "drums", "--sort", "sdr")
    assert found[:2] == ["scnet_xl", "scnet_masked_xl"]
    assert found.index("umxhq") < found.index("spleeter_4stems")  # without a score


def test_an_installed_model_keeps_the_score_of_the_catalogue(run_stem: RunStem) -> None:
    """By hand: htdemucs has 8.2 dB of vocals on Multisong, and 9.9 dB on songs of its training."""
    htdemucs = public_models()["htdemucs"]
    assert htdemucs.scores[0].dataset != "Multisong (MVSep)"
    places = []
    for _ in range(2):
        shown = names(run_stem, "--stem", "vocals", "--sort", "sdr")
        places.append([name for name in shown if name not in BUNDLED].index("htdemucs"))
        result = run_stem("models", "list", "--all")
        (row,) = [line for line in result.stdout.splitlines() if line.startswith("htdemucs ")]
        assert "vocals 8.2 " in row
        card = Card("htdemucs", "melrnn", stems=("vocals",), residual="band")
        install(small_network(), replace(card, scores=htdemucs.scores), overwrite=True)
    assert places[0] == places[1]


def test_order_by_size_and_name(run_stem: RunStem) -> None:
    sizes = [each["size"] for each in documents(run_stem, "--sort", "size")]
    known = [size for size in sizes if size]
    assert known == sorted(known)
    assert sizes == known + [0] * (len(sizes) - len(known))
    found = names(run_stem, "--sort", "name")
    assert found == sorted(found)


def test_order_by_speed(run_stem: RunStem) -> None:
    """Only bundled models have measured speeds; Spleeter is the faster."""
    assert names(run_stem, "--sort", "speed")[:2] == ["spleeter_2stems", "melroformer"]
    assert names(run_stem, "--installed", "--sort", "speed") == ["spleeter_2stems", "melroformer"]


def test_an_installed_model_of_the_catalogue_is_listed_once(run_stem: RunStem) -> None:
    install(small_network(), Card("umxhq", "melrnn", stems=("vocals",), residual="band"))
    assert names(run_stem, "--all").count("umxhq") == 1
    (umxhq,) = [each for each in documents(run_stem, "--all") if each["name"] == "umxhq"]
    assert (umxhq["installed"], umxhq["outputs"]) == (True, ["vocals", "band"])
    assert json.loads(run_stem("models", "info", "umxhq", "--json").stdout)["installed"] is True


def test_documents_have_the_keys_that_all_models_have(run_stem: RunStem) -> None:
    common = {"name", "architecture", "stems", "outputs", "role", "size", "licence", "installed"}
    for each in documents(run_stem, "--all"):
        assert common <= each.keys()
    (umxhq,) = [each for each in documents(run_stem, "--all") if each["name"] == "umxhq"]
    assert (umxhq["size"], umxhq["installed"]) == (4 * 35_637_796, False)
    assert umxhq["files"][0]["sha256"].startswith("b62c91ce")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            "--stem drumz",
            "Unknown stem 'drumz': did you mean 'drums'? See: stem models list --all",
        ),
        ("--stem acompaniment", "'acompaniment': did you mean 'accompaniment'? See: "),
        ("--stem xyzzy", "'xyzzy': no model gives it. See: stem models list --all"),
        ("--licence gpl-2", "Unknown licence 'gpl-2': did you mean 'GPL-3.0'?"),
        (
            "--stem snare --licence mit --installed",
            "Unknown stem 'snare': no installed model gives it. See: ",
        ),
        ("--all --installed", "--installed and --all contradict each other; use one of them"),
        *(
            (f"--architectures {other}", f"--architectures and {other.split()[0]} contradict each")
            for other in ("--stem drums", "--all", "--licence mit", "--sort sdr", "--installed")
        ),
    ],
)
def test_wrong_options(options: str, message: str, run_stem: RunStem) -> None:
    assert message in error_line(run_stem("models", "list", *options.split()), 2)


@pytest.mark.parametrize("name", ["htdemucs", "955717e8-8726e21a.th", "HTDemucs"])
def test_info_of_a_public_model(name: str, run_stem: RunStem) -> None:
    result = run_stem("models", "info", name)
    assert result.exit_code == 0, result.output
    for fact in (
        "drums, bass, other, vocals",
        "no grant (unblend 1.0.0: nobody who published the weights stated terms for them",
        "you accept that nobody has granted a right to use the weights",
        "https://arxiv.org/abs/2211.08553",
        "d3cb2f212d0652945fd033c26e1fbfdf9b6fbb9087aa6104def87f08b1016a81",
        "10.88   Multisong (MVSep)",
    ):
        assert fact in result.stdout
    assert "Try: stem models pull htdemucs\n" in result.stderr
    document = json.loads(run_stem("models", "info", name, "--json").stdout)
    assert document in documents(run_stem, "--all")


def test_info_names_the_variant_of_a_network(run_stem: RunStem) -> None:
    result = run_stem("models", "info", "bs_hyperace")
    assert "bs_roformer, HyperACE" in result.stdout
    assert "with HyperACE, which cannot be built yet" in result.stderr
    assert "pull" not in result.stderr


@pytest.mark.parametrize("words", ["list --all", "list --stem drums --sort sdr", "info scnet_xl"])
def test_the_catalogue_is_shown_without_torch(words: str) -> None:
    code = (
        "import sys; from stemcli.cli import main\n"
        f"sys.argv = ['stem', 'models', *{words.split()!r}]\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert not {'torch', 'ray', 'huggingface_hub'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True)
