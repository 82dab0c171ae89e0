"""Options, commands and file name fields of other tools.

Reference: the command lines of demucs 4, spleeter 2.4, audio-separator 0.47, MSST and open-unmix as
their documentation shows them, and the pages of this project that translate them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import pytest

from model_zoo.catalogue.cards import Card
from model_zoo.catalogue.install import install
from stemcli.cli.app import COMMANDS, stem
from stemcli.cli.models import convert_command
from stemcli.cli.models_list import command as models_list
from stemcli.cli.other_tools import (
    ACCEPTED,
    COMMAND_WORDS,
    REFUSED,
    AcceptedOption,
    RefusedOption,
    with_dashes,
)
from stemcli.cli.separate import command as separate
from stemcli.engine.options import Options
from tests.model_zoo.small import small_network
from tests.stemcli.cli.conftest import RunStem
from tests.stemcli.cli.results import error_line, tree

ROOT = Path(__file__).parents[3]


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch, run_stem: RunStem, tmp_path: Path) -> Any:
    """Return the options of ``stem separate song.wav`` with more arguments."""
    seen: list[Options] = []

    def spy(songs: Any, options: Options, **rest: Any) -> None:
        seen.append(options)
        raise KeyboardInterrupt

    monkeypatch.setattr("stemcli.batch.run.separate_songs", spy)

    def options_of(*args: str) -> Options:
        result = run_stem("separate", "song.wav", *args)
        assert result.exit_code == 130, result.output
        return seen.pop()

    return options_of


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("-n melroformer", {"model": ("melroformer",)}),
        ("--name melroformer", {"model": ("melroformer",)}),
        ("--model_filename melroformer", {"model": ("melroformer",)}),
        ("-n 955717e8", {"model": ("955717e8",)}),
        ("-n htdemucs_ft --shifts 2", {"model": ("htdemucs_ft",), "shifts": 2}),
        (
            "--model_filename model_bs_roformer_ep_317_sdr_12.9755.ckpt",
            {"model": ("model_bs_roformer_ep_317_sdr_12.9755.ckpt",)},
        ),
        ("--ensemble_preset vocal_balanced", {"model": ("vocal_balanced",)}),
        ("--ensemble_algorithm avg_wave", {"combine": "mean"}),
        ("--ensemble_algorithm median_fft", {"combine": "median-spectrum"}),
        ("--ensemble_algorithm uvr_max_spec", {"combine": "max-spectrum"}),
        ("-n mdx_extra -m htdemucs", {"model": ("htdemucs", "mdx_extra")}),
        ("--demucs_overlap 0.5 --use_native_fp16", {"overlap": 0.5, "precision": "fp16"}),
        ("--bigshifts 3", {"shifts": 3}),
        ("-p spleeter:2stems", {"model": ("spleeter_2stems",)}),
        ("-p spleeter:4stems-16kHz", {"model": ("spleeter_4stems",)}),
        ("--mp3 --mp3-bitrate 192", {"format": "mp3", "bitrate": 192}),
        ("--flac --int24", {"format": "flac", "depth": "24"}),
        ("--float32", {"format": "wav", "depth": "32f"}),
        ("-c mp3 -b 320k -o out", {"format": "mp3", "bitrate": 320, "output": "out"}),
        ("-s 30 --output_path out", {"start": 30.0, "output": "out"}),
        (
            "--output_format MP3 --output_bitrate 320k --output_dir out --single_stem Vocals",
            {"format": "mp3", "bitrate": 320, "output": "out", "stems": ("Vocals",)},
        ),
        ("--flac_file --pcm_type PCM_24 --force_cpu", {"format": "flac", "depth": "24"}),
        ("--store_dir out --device_ids 1", {"output": "out", "device": "cuda:1"}),
        ("--ext .flac --no-cuda --outdir out", {"format": "flac", "device": "cpu"}),
        ("--format WAV --bit_depth 32F --two_stems vocals", {"format": "wav", "depth": "32f"}),
    ],
)
def test_options_with_the_same_meaning_are_accepted(
    line: str, expected: Mapping[str, Any], parse: Any
) -> None:
    options = parse(*line.split())
    assert {key: getattr(options, key) for key in expected} == expected


@pytest.mark.parametrize("row", ACCEPTED, ids=lambda row: row.spellings[-1])
def test_every_accepted_option_sets_a_parameter_of_ours(row: AcceptedOption) -> None:
    assert row.field in {parameter.name for parameter in separate.params}
    assert row.field in Options.__dataclass_fields__


@pytest.mark.parametrize("command", ["separate", "batch"])
@pytest.mark.parametrize(
    ("row", "spelling"), [(row, name) for row in REFUSED for name in row.spellings]
)
def test_every_other_option_is_answered(
    row: RefusedOption,
    spelling: str,
    command: str,
    run_stem: RunStem,
    tmp_path: Path,
) -> None:
    value = [] if row.is_flag else ["1"]
    line = error_line(run_stem(command, spelling, *value), 2)
    assert line.startswith(f"Error: {spelling} is an option of {row.tools}. {row.advice}") or (
        not row.tools and f"There is no option {spelling}. {row.advice}" in line
    )
    assert tree(tmp_path) == set()


def test_all_options_without_an_equivalent_are_answered_at_once(run_stem: RunStem) -> None:
    """The answers come before other errors: here ``-i`` takes the only song."""
    line = error_line(run_stem("separate", "-i", "song.mp3", "--duration", "30", "--mwf"), 2)
    answers = [
        "-i is an option of spleeter. Name the songs without it: stem separate SONG.",
        "--duration is an option of spleeter and open-unmix. Use --end, the time where to stop:"
        " --start 30 --end 90 for a minute from 0:30.",
        "--mwf is an option of spleeter. Leave it out: only models of Open-Unmix have a Wiener"
        " filter.",
    ]
    assert line == f"Error: {' '.join(answers)} (See: stem separate --help)"


@pytest.mark.parametrize("name", ["--model-filename", "-i"])
def test_an_option_without_its_value_is_refused(name: str, run_stem: RunStem) -> None:
    line = error_line(run_stem("separate", "song.mp3", name), 2)
    assert line == f"Error: Option '{name}' requires an argument. (See: stem separate --help)"


def test_help_is_shown_beside_options_of_other_tools(run_stem: RunStem) -> None:
    result = run_stem("separate", "--mwf", "--help")
    assert result.exit_code == 0
    assert result.output.startswith("Usage: stem separate")


def test_advice_names_options_that_exist() -> None:
    commands = (separate, models_list, convert_command)
    params = [each for command in commands for each in command.params]
    ours = {name for each in params if not _is_hidden(each) for name in each.opts}
    advised = {name for row in REFUSED for name in re.findall(r"--[a-z-]+", row.advice)}
    assert advised - ours == set()


def test_no_option_is_listed_twice() -> None:
    names = [name for each in separate.params for name in (*each.opts, *each.secondary_opts)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("line", "pair"),
    [
        ("--mp3 --flac", "--flac and --mp3"),
        ("--mp3 -f wav", "--mp3 and --format"),
    ],
)
def test_contradictions_are_refused(line: str, pair: str, run_stem: RunStem) -> None:
    result = run_stem("separate", "song.wav", *line.split())
    assert f"{pair} contradict each other" in error_line(result, 2)


@pytest.mark.parametrize(
    ("arguments", "stems"), [((), ("vocals",)), (("--stems", "all"), ()), (("--stems", "ALL"), ())]
)
def test_all_stems_although_a_setting_names_one(
    arguments: tuple[str, ...], stems: tuple[str, ...], parse: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEM_STEMS", "vocals")
    assert parse(*arguments).stems == stems


def test_a_model_or_file_of_that_name_is_preferred(parse: Any, tmp_path: Path) -> None:
    """``955717e8`` is a name of htdemucs, but also one that a user may give."""
    (tmp_path / "htdemucs.th").write_bytes(b"")
    assert parse("-n", "htdemucs.th").model == ("htdemucs.th",)
    install(small_network(), Card("955717e8", "melrnn", stems=("vocals",), residual="band"))
    assert parse("-n", "955717e8").model == ("955717e8",)


def test_an_unknown_method_of_combining_is_an_error(run_stem: RunStem) -> None:
    result = run_stem("separate", "song.wav", "--ensemble_algorithm", "ensemble_wav")
    assert "'--ensemble-algorithm': 'ensemble_wav' is not one of 'mean'" in error_line(result, 2)


def test_two_spellings_of_one_value_are_no_contradiction(parse: Any) -> None:
    assert parse("--mp3", "-f", "mp3", "-n", "tiny", "-m", "tiny").format == "mp3"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("-c wma", "Invalid value for '--codec': 'wma' is not one of 'wav'"),
        ("-b loud", "'loud' is not a bit rate in kbit/s. Try e.g. 320"),
        ("-d 60", "'60' is not a device. For the time where to stop use --end"),
        ("-f {filename}/{instrument}.{codec}", "is a template. Use --filename"),
        ("--filename {filename}/{stem}.{ext}", "unknown field {filename}, did you mean {track}?"),
        ("--filename {track}/{instrument}.{ext}", "did you mean {stem}?"),
    ],
)
def test_values_of_other_tools_get_advice(line: str, sentence: str, run_stem: RunStem) -> None:
    assert sentence in error_line(run_stem("separate", "song.wav", *line.split()), 2)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["evaluate"], "Unknown command 'evaluate'. Try: stem eval"),
        (["list"], "Try: stem models list"),
        (["--list-models"], "is an option of demucs and audio-separator. Run: stem models list"),
        (["-e"], "Run: stem doctor"),
        (
            ["-n", "htdemucs", "my song.mp3"],
            "Options follow the command. Try: stem separate -n htdemucs 'my song.mp3'",
        ),
        (["nowhere.mp3"], "There is no file or folder nowhere.mp3. Try: stem separate SONG"),
        (["Music/Songs"], "There is no file or folder Music/Songs"),
        (["https://host/a.mp3"], "Try: stem separate https://host/a.mp3"),
        (["-"], "Try: stem separate -"),
        (["--bogus"], "No such option '--bogus'"),
    ],
)
def test_words_without_a_command(words: list[str], sentence: str, run_stem: RunStem) -> None:
    assert sentence in error_line(run_stem(*words), 2)


@pytest.mark.parametrize("advice", COMMAND_WORDS.values())
def test_commands_for_other_words_exist(advice: str) -> None:
    for line in re.findall(r"stem [a-z ]+", advice):
        words = line.split()[1:]
        ctx, command = click.Context(stem), click.Command("")
        for word in words[: 2 if words[0] in ("models", "eval", "data") else 1]:
            group = stem if word == words[0] else command
            assert isinstance(group, click.Group)
            found = group.get_command(ctx, word)
            assert found, line
            command = found


@pytest.mark.parametrize(
    "path", [[], ["separate"], ["models"], ["models", "list"], ["eval", "folder"]]
)
def test_help_is_the_help_option(path: list[str], run_stem: RunStem) -> None:
    assert run_stem("help", *path).output == run_stem(*path, "--help").output


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        (["seperate"], "Unknown command 'seperate': did you mean 'separate'?"),
        (["models", "lost"], "Unknown command 'lost': did you mean 'list'?"),
        (["separate", "song"], "stem separate has no subcommands"),
    ],
)
def test_help_of_an_unknown_command(path: list[str], sentence: str, run_stem: RunStem) -> None:
    assert sentence in error_line(run_stem("help", *path), 2)


def test_version_is_the_version_option(run_stem: RunStem) -> None:
    assert run_stem("version").output == run_stem("--version").output


def test_listed_commands() -> None:
    assert {"help", "version"} == {name for name, row in COMMANDS.items() if not row.is_listed}


def test_only_names_of_long_options_are_rewritten() -> None:
    words = ["--bit_depth", "24", "--set=a_b=c_d", "my_song.wav", "-a_b", "--", "--my_song.wav"]
    assert with_dashes(words) == [
        *("--bit-depth", "24", "--set=a_b=c_d", "my_song.wav", "-a_b", "--", "--my_song.wav")
    ]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("htdemucs", "To accept that, run: stem models pull htdemucs --accept-licence"),
        ("955717e8", "To accept that, run: stem models pull htdemucs --accept-licence"),
        ("htdemucs_ft", "run: stem models pull htdemucs_ft_drums htdemucs_ft_bass htdemucs_ft_ot"),
        ("mdx_extra_q", "weights of quantized Demucs cannot be used yet. Installed: melroformer,"),
        ("mdx", "weights of Demucs without spectrograms cannot be used yet"),
        ("UVR-MDX-NET-Inst_HQ_3.onnx", "weights of MDX-Net cannot be used yet"),
        (
            "mel_band_roformer_kimm",
            "did you mean 'mel_band_roformer_kim'? Try: stem models pull",
        ),
        ("bs_roformer_fno", "architecture bs_roformer with FNO, which cannot be built yet."),
        ("umxl", "zenodo.org/records/5069601, then run: stem models convert FILE... --name umxl"),
        ("x-umx", "weights of X-UMX cannot be used yet"),
        ("1_HP-UVR", "weights of UVR's VR networks cannot be used yet"),
        ("mel-roformer", "did you mean 'melroformer'?"),
        ("spleeter2stems", "did you mean 'spleeter_2stems'?"),
        ("xyzzy", "Add others with stem models convert, stem models add or stem train"),
    ],
)
def test_unknown_models_say_how_to_get_more(name: str, sentence: str, run_stem: RunStem) -> None:
    assert sentence in error_line(run_stem("separate", "song.wav", "-m", name), 2)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("mdx23c", "MDX23C-8KFFT-InstVoc_HQ.ckpt"),
        ("MDX23C-8KFFT-InstVoc_HQ.ckpt", "MDX23C-8KFFT-InstVoc_HQ.ckpt"),
        ("model_bs_roformer_ep_317_sdr_12.9755.ckpt", "model_bs_roformer_ep_317_sdr_12.9755.ckpt"),
        ("spleeter:5stems", "5stems.tar.gz"),
        ("4stems", "4stems.tar.gz"),
    ],
)
def test_names_of_other_programs_are_fetched(
    name: str, file: str, run_stem: RunStem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is that of the catalogue's network, which is asked for before anything is read."""
    monkeypatch.setenv("STEM_OFFLINE", "1")
    line = error_line(run_stem("separate", "song.wav", "-m", name), 1)
    assert line.startswith(f"Error: {file} is not in the cache, and STEM_OFFLINE=1 forbids")


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["--stems", "drums"], "Models that give drums: band"),
        (["--two-stems", "DRUMS"], "Models that give DRUMS: band"),
        (["--stems", "bass"], "To see models that give bass: stem models list --stem bass"),
        (["--stems", "Piano"], "To see models that give piano: stem models list --stem piano"),
        (["--stems", "kazoo"], "No installed model gives kazoo. Add others with"),
        (["--stems", "vocal"], "did you mean 'vocals'?"),
        (
            ["-m", "band", "--stems", "accompaniment"],
            "give accompaniment: melroformer, spleeter_2stems",
        ),
    ],
)
def test_unknown_stems_say_which_models_give_them(
    args: list[str], sentence: str, run_stem: RunStem
) -> None:
    install(small_network(), Card("band", "melrnn", stems=("vocals",), residual="drums"))
    assert sentence in error_line(run_stem("separate", "song.wav", *args), 2)


def _is_hidden(parameter: click.Parameter) -> bool:
    return isinstance(parameter, click.Option) and parameter.hidden


PAGE = ROOT / "docs" / "coming-from.md"


def _translated() -> list[str]:
    """Options in the first column of the tables for other tools."""
    rows = re.findall(r"^\| (`.*?`.*?) \| .* \|$", PAGE.read_text("utf-8"), re.M)
    return sorted({name for row in rows for name in re.findall(r"(?<![\w-])--?[a-z][\w-]*", row)})


@pytest.mark.parametrize("name", _translated())
def test_options_in_the_documentation_are_understood(name: str) -> None:
    names = {name for each in separate.params for name in each.opts}
    assert with_dashes([name])[0] in names
