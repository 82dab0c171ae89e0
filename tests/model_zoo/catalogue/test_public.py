"""The catalogue of public networks: rules that all entries obey, and rows checked by hand."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from model_zoo import registry
from model_zoo.catalogue import public
from model_zoo.catalogue.cards import BUNDLED
from model_zoo.catalogue.public import (
    PublicModel,
    PublicOptions,
    find_by_sha256,
    find_preset,
    find_public,
    is_pinned,
    plain,
    presets,
    public_models,
)
from model_zoo.catalogue.remote_file import RemoteFile
from model_zoo.catalogue.scores import CardScore
from model_zoo.errors import CheckpointError, ConfigError

MODELS = public_models()
FOUR = ("drums", "bass", "other", "vocals")
FAMILIES = {
    *("htdemucs", "hdemucs", "mel_band_roformer", "bs_roformer"),
    *("scnet", "open_unmix", "mdx23c", "spleeter"),
}


@dataclass(frozen=True)
class Row:
    """Facts that a registry states about a network.

    Attributes:
        name: our name of the network.
        sha256: SHA-256 of the first file.
        size: its bytes.
        stems: outputs of the network.
        end: end of the address.
        licence: licence as stated.
        consent: what must be agreed to.
    """

    name: str
    sha256: str
    size: int
    stems: tuple[str, ...]
    end: str
    licence: str = "not stated"
    consent: str = ""


BY_HAND = [
    # unblend 1.0.0, metadata.yaml; its word "unlicensed" is explained there as no grant
    Row(
        "htdemucs",
        "d3cb2f212d0652945fd033c26e1fbfdf9b6fbb9087aa6104def87f08b1016a81",
        84_023_856,
        FOUR,
        "/9ba75778acf1b64fc40a9ea05137a2c6af9cd1d5/htdemucs.safetensors",
        *("no grant", "no grant"),
    ),
    Row(
        "htdemucs_6s",
        "8eafdbe0e57e024825610a0800ea0186683c3423e248b320915aeaebb35edaf4",
        54_884_136,
        (*FOUR, "guitar", "piano"),
        "/1fe631b72a0e3085a1660d7073deb1ed15592f23/htdemucs_6s.safetensors",
        *("no grant", "no grant"),
    ),
    Row(
        "mel_band_roformer_kim",
        "03bfc70b43df1f3e92ed1e582e8b18983f8d4adcd1a7d2133ada3b2f371b3095",
        912_885_624,
        ("vocals",),
        "/9ba75778acf1b64fc40a9ea05137a2c6af9cd1d5/melband_roformer_kim.safetensors",
        "MIT",
    ),
    Row(
        "bs_roformer_sw",
        "56c131428745d83d63f72293d237fdbb56f40d8e4b6980cbcde70e28a9f7330f",
        698_840_448,
        ("bass", "drums", "other", "vocals", "guitar", "piano"),
        "/9ba75778acf1b64fc40a9ea05137a2c6af9cd1d5/bs_roformer_sw.safetensors",
        *("no grant", "no grant"),
    ),
    Row(
        "bs_roformer_anvuew",
        "dc68a24e0525902dfdb5f18d259161e89a7fbaf9801bfaea4beb3bf38cf87766",
        204_274_176,
        ("vocals",),
        "/67fbfa22f65faad085cfb7c9897474993331163d/bs_roformer_anvuew.safetensors",
        "GPL-3.0",
    ),
    Row(
        "scnet_xl",
        "84daab8341398b1b1cd2183bdab4b08685104ca2a2c7f2bb0d6640bf3629527c",
        213_925_688,
        FOUR,
        "/67fbfa22f65faad085cfb7c9897474993331163d/scnet_xl_wide_v5.safetensors",
        *("no grant", "no grant"),
    ),
    # demucs-infer 4.4.0, checkpoints.toml
    Row(
        "hdemucs_mmi",
        "1941ce654b11df4132b9f4eae408556b4c83fad6fe26b4bc0dbcb36b975befb3",
        167_407_275,
        FOUR,
        "/demucs/hybrid_transformer/75fc33f5-1941ce65.th",
        *("no grant", "no grant"),
    ),
    # splifft 0.0.9, registry.json
    Row(
        "mel_band_roformer_becruily_deux",
        "10255c02295bf3e3865d4ee50ff752d7b19b124ed5fd93b147babc4333eda3aa",
        435_006_815,
        ("vocals", "instrumental"),
        "/becruily/mel-band-roformer-deux/resolve/main/becruily_deux.ckpt",
    ),
    Row(
        "mel_band_roformer_drypaintman_duet",
        "9ae8ae1a7d2fab0a7c405fee27ac8332702a31d689de58c9fb6f63b30410832b",
        630_204_333,
        ("singer_1", "singer_2"),
        "/DryPaintMan/MelBandRoformer-Duet/resolve/main/"
        "model_mel_band_roformer_ep_0_sdr_7.9319_fixed.ckpt",
    ),
    Row(
        "mdx23c_jazzpear_sfx",
        "9e50238b25923b65e0fca590ddc7a5626ede4ae1df0b8392b5dccebee26288e5",
        224_090_743,
        ("foreground", "background"),
        "/sound_effects/mdx23c/model_sfxsplitter.ckpt",
    ),
    # melband-roformer-infer, checkpoints.toml of 2026-07-23, which names the commit
    Row(
        "mel_band_roformer_unwa_big_beta7",
        "9d68b9a8689a3500c45d3418a7811934e557760db07285f483088a0965b0eb88",
        944_675_923,
        ("vocals",),
        "/Mel-Band-Roformer-big/resolve/1508d1ed7c54cb0017b2cbfaabdaf3ca87d2cf74/big_beta7.ckpt",
    ),
    # bs-roformer-infer, checkpoints.toml of 2026-07-23
    Row(
        "bs_roformer_unwa_revive2",
        "58098850c882a7472dad39f99fb8040ce6eaafe671cfe9881d89aea276bbb5f5",
        639_326_600,
        ("vocals",),
        "/pcunwa/BS-Roformer-Revive/resolve/main/bs_roformer_revive2.ckpt",
        *("CC-BY-NC-SA-4.0", "non-commercial"),
    ),
    # scnet-infer, checkpoints.toml of 2026-07-22
    Row(
        "scnet_masked_xl",
        "b4675b0269809de27172a050e8767a857077635eda1738db0874d63a79f2b6dd",
        214_143_287,
        FOUR,
        "/releases/download/v1.0.17/model_scnet_masked_ep_111_sdr_9.8286.ckpt",
    ),
    # Zenodo record 3370489: size and the first digits of the SHA-256, which are in the name
    Row(
        "umxhq",
        "b62c91cedbc7a066f1778ead5b5cecb377aa3a46a31af1cce7c5c8769339d083",
        35_637_796,
        ("vocals", "drums", "bass", "other"),
        "https://zenodo.org/records/3370489/files/vocals-b62c91ce.pth",
        "MIT",
    ),
    # Spleeter's own test of its checksums, tests/test_github_model_provider.py
    Row(
        "spleeter_4stems",
        "3adb4a50ad4eb18c7c4d65fcf4cf2367a07d48408a5eb7d03cd20067429dfaa8",
        0,
        ("vocals", "drums", "bass", "other"),
        "https://github.com/deezer/spleeter/releases/download/v1.4.0/4stems.tar.gz",
        "MIT",
    ),
]


@pytest.mark.parametrize("row", BY_HAND, ids=lambda row: row.name)
def test_rows_checked_against_the_registries(row: Row) -> None:
    model = MODELS[row.name]
    file = model.files[0]
    assert (file.sha256, file.size) == (row.sha256, row.size)
    assert file.url.endswith(row.end)
    assert (model.stems, model.licence, model.consent) == (row.stems, row.licence, row.consent)
    assert find_by_sha256(row.sha256) == model


def test_the_catalogue_has_the_families_that_exist_here() -> None:
    assert len(MODELS) >= 150
    assert {model.architecture for model in MODELS.values()} == FAMILIES


def test_names_are_unique_and_no_names_of_bundled_models_or_architectures() -> None:
    called = Counter(
        each for model in MODELS.values() for each in {model.name, *map(plain, model.aliases)}
    )
    assert [name for name, times in called.items() if times > 1] == []
    bundled = {path.stem for path in BUNDLED.glob("*.toml")}
    assert called.keys() & bundled == set()
    # People mean the model when they type the name of its architecture.
    assert called.keys() & registry.ARCHITECTURES.keys() <= {"htdemucs", "mdx23c"}
    joined = {each for one in presets().values() for each in (one.name, *map(plain, one.aliases))}
    assert joined & (called.keys() | bundled | registry.ARCHITECTURES.keys()) == set()


def test_files_are_not_listed_twice() -> None:
    files = [file for one in MODELS.values() for file in (*one.files, *one.other_files)]
    assert len({file.sha256 for file in files}) == len(files)
    addresses = [address for file in files for address in file.addresses]
    assert len(set(addresses)) == len(addresses)


def test_sizes_fit_the_numbers_of_parameters() -> None:
    """Weights take two or four bytes each; names and buffers take a few per cent at most."""
    known = [model for model in MODELS.values() if model.parameters]
    assert len(known) >= 10
    for model in known:
        sizes = [model.size, *(file.size for file in model.other_files if file.size)]
        for ratio in [size / model.parameters for size in sizes]:
            assert 2 <= ratio < 2.02 or 4 <= ratio < 4.05, model.name


def test_every_licence_that_is_stated_names_who_states_it() -> None:
    for model in MODELS.values():
        assert model.licence == "not stated" or model.licence_source, model.name
        assert model.consent == "non-commercial" or "NC" not in model.licence, model.name
        assert (model.consent == "no grant") == (model.licence == "no grant"), model.name


def test_hdemucs_checkpoints_are_named_after_their_checksums() -> None:
    """The part after the dash is the first eight digits of the SHA-256."""
    files = [file for one in MODELS.values() for file in (*one.files, *one.other_files)]
    named = [file for file in files if "dl.fbaipublicfiles.com" in file.url]
    assert len(named) >= 20
    for file in named:
        assert file.name.removesuffix(".th").partition("-")[2] == file.sha256[:8]


def test_presets_join_entries_that_give_their_stems() -> None:
    for preset in presets().values():
        for number, member in enumerate(preset.members):
            weights = preset.weights[number] if preset.weights else (1.0,) * len(preset.stems)
            needed = {stem for stem, weight in zip(preset.stems, weights, strict=True) if weight}
            assert needed <= set(MODELS[member].outputs), (preset.name, member)


def test_the_preset_of_specialists_has_the_highest_published_scores() -> None:
    """Reference: scores on Multisong; 0.05 dB are less than such a list can tell apart."""
    specialists = presets()["specialists"]
    for column, stem in enumerate(specialists.stems):
        (member,) = [
            name
            for name, weights in zip(specialists.members, specialists.weights, strict=True)
            if weights[column]
        ]
        best = max(_multisong(model, stem) for model in MODELS.values())
        assert _multisong(MODELS[member], stem) >= best - 0.05


def _multisong(model: PublicModel, stem: str) -> float:
    return max(
        (
            score.value
            for score in model.scores
            if score.dataset == "Multisong (MVSep)" and score.stem == stem and score.metric == "SDR"
        ),
        default=0.0,
    )


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("htdemucs", "htdemucs"),
        ("HTDemucs", "htdemucs"),
        ("955717e8", "htdemucs"),
        ("955717e8-8726e21a.th", "htdemucs"),
        ("htdemucs_6s.yaml", "htdemucs_6s"),
        ("melband_roformer_kim", "mel_band_roformer_kim"),
        ("mel-band-roformer-kim", "mel_band_roformer_kim"),
        ("vocals_mel_band_roformer.ckpt", "mel_band_roformer_kim"),
        ("model_bs_roformer_ep_317_sdr_12.9755.ckpt", "bs_roformer_viperx_1297"),
        ("MDX23C-8KFFT-InstVoc_HQ", "mdx23c_8kfft_instvoc_hq"),
        ("BS-Rofo-SW-Fixed.ckpt", "bs_roformer_sw"),
        ("spleeter:4stems", "spleeter_4stems"),
        ("melband_roformer_big_beta6x.ckpt", "mel_band_roformer_unwa_big_beta6x"),
    ],
)
def test_names_of_other_programs_find_the_entry(typed: str, name: str) -> None:
    found = find_public(typed)
    assert found
    assert found.name == name


def test_names_that_nothing_has() -> None:
    assert find_public("xyzzy") is None
    assert find_preset("htdemucs") is None
    assert find_by_sha256("0" * 64) is None
    preset = find_preset("htdemucs_ft.yaml")
    assert preset
    assert preset.weights == ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://huggingface.co/a/b/resolve/9ba75778acf1b64fc40a9ea05137a2c6af9cd1d5/c.pt", True),
        ("https://huggingface.co/a/b/resolve/main/c.pt", False),
        ("https://huggingface.co/a/b/resolve/9ba7577/c.pt", False),
        ("https://zenodo.org/records/3370489/files/vocals-b62c91ce.pth", True),
    ],
)
def test_addresses_of_the_hub_are_pinned_to_a_commit(url: str, expected: bool) -> None:
    assert is_pinned(url) == expected


def entry(**changes: object) -> PublicModel:
    """A small entry with changes."""
    file = RemoteFile("https://zenodo.org/records/1/files/a.pth", "0" * 64, 5)
    values = {"name": "a", "architecture": "scnet", "files": (file,), "stems": ("vocals",)}
    return PublicModel(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "A-b"}, "a name has lower-case letters, digits and _, found 'A-b'"),
        ({"files": ()}, "files must name at least one file"),
        ({"stems": ()}, "stems must name at least one stem"),
        ({"residual": "vocals"}, "two outputs have the same name"),
        ({"is_pinned": False}, "is_pinned does not fit the addresses"),
        ({"config_sha256": "0" * 64}, "config_sha256 needs config_url"),
        ({"scores": (CardScore("mine", "vocals", "SDR", "", 1.0),)}, "no rank for the data mine"),
    ],
)
def test_mistakes_in_entries(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        entry(**changes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hop": -1}, "hop must not be negative, found -1"),
        ({"overlap": 1.0}, "overlap must be from 0 to less than 1, found 1.0"),
        ({"channels": 3}, "channels must be 1 or 2, found 3"),
    ],
)
def test_mistakes_in_options(options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PublicOptions.from_dict(options)


def test_the_shown_score_is_the_one_of_the_best_known_data() -> None:
    """By hand: songs that a network may have been trained on count least."""
    scores = [
        CardScore("MUSDB18 train", "vocals", "SDR", "", 12.0),
        CardScore("Multisong (MVSep)", "vocals", "SDR", "", 8.0),
        CardScore("Multisong (MVSep)", "drums", "SDR", "", 7.0),
        CardScore("Multisong (MVSep)", "vocals", "bleedless", "", 30.0),
    ]
    model = entry(stems=("drums", "vocals"), scores=tuple(scores))
    assert (model.sdr(), model.sdr("drums"), model.sdr("bass")) == (scores[1], scores[2], None)


def test_a_size_that_is_not_known_makes_the_sum_unknown() -> None:
    files = tuple(RemoteFile(f"https://zenodo.org/{n}.pth", str(n) * 64, n) for n in (1, 2))
    assert entry(files=files).size == 3
    assert entry(files=(*files, RemoteFile("https://zenodo.org/3.pth", "3" * 64))).size == 0


def test_a_damaged_data_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "presets.toml"
    monkeypatch.setattr(public, "PRESETS", path)
    path.write_text('[[presets]]\nname = "a"\n')
    presets.cache_clear()
    with pytest.raises(CheckpointError, match=r"presets.toml is damaged .*key 'members' is missi"):
        presets()
    presets.cache_clear()


def test_reading_the_catalogue_does_not_import_torch() -> None:
    code = (
        "import sys; from model_zoo.catalogue.public import public_models; public_models();"
        "sys.exit(bool({'torch', 'numpy', 'huggingface_hub'} & sys.modules.keys()))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
