"""Which value an option gets: command line, environment, file or default.

The order is the one that docs/settings.md promises; the engine is replaced, so that a test reads
the options that it would get.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from model_zoo.errors import OutputError
from model_zoo.option_names import command_line, option
from stemcli.cli.batch import command as batch
from stemcli.cli.lazy import HELP_NAMES
from stemcli.cli.separate import command as separate_command
from stemcli.cli.settings_command import SettingsCommand, key_of
from stemcli.engine.options import Options
from stemcli.settings import SETTINGS
from tests.stemcli.batch.fake import make_songs
from tests.stemcli.cli.conftest import Engine, RunStem, Store
from tests.stemcli.cli.test_config import GOOD
from trainers.cli.evaluate_speed import command as speed
from trainers.cli.train import command as train
from trainers.cli.tune import command as tune


@pytest.fixture
def separate(run_stem: RunStem, engine: Engine) -> Callable[..., Options]:
    """Run ``stem separate`` and return the options of the engine."""

    def run(*args: str) -> Options:
        result = run_stem("separate", "song.wav", *args)
        assert result.exit_code == 0, result.output
        return engine.options

    return run


Separate = Callable[..., Options]


def test_the_command_line_wins_then_the_environment_then_the_file(
    store: Store, separate: Separate, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert separate().format == "wav"
    store('format = "flac"')
    assert separate().format == "flac"
    monkeypatch.setenv("STEM_FORMAT", "mp3")
    assert separate().format == "mp3"
    assert separate("--format", "ogg").format == "ogg"


def test_an_empty_variable_is_not_set(
    store: Store, separate: Separate, monkeypatch: pytest.MonkeyPatch
) -> None:
    store('format = "flac"')
    monkeypatch.setenv("STEM_FORMAT", "")
    assert separate().format == "flac"


REACHED: dict[str, Any] = {
    "model": ("melroformer",), "weights": (2.0,), "combine": "max", "phase_model": "runs/phase",
    "stems": ("vocals", "drums"),
    "two_stems": "vocals", "karaoke": True, "output": "Stems",
    "filename": "{stem}/{track}.{ext}", "format": "mp3",
    "bit_depth": "24", "bitrate": 192, "quality": 2.0, "clip_mode": "clamp", "picture": True,
    "skip_existing": "skip", "overwrite": "overwrite", "overlap": 0.5, "segment": 90.0,
    "grid": "centered", "shifts": 2, "seed": 7, "device": "cuda:1", "precision": "bf16",
    "backend": "torch",
    "batch_size": 4, "jobs": 3, "retries": 2,
}  # fmt: skip
"""What the engine gets for the values that test_config sets, converted by hand."""

FIELDS = {"bit_depth": "depth", "skip_existing": "existing", "overwrite": "existing"}
"""Fields of the engine that have other names than their settings."""


@pytest.mark.parametrize("way", ["file", "environment"])
@pytest.mark.parametrize("key", SETTINGS)
def test_every_setting_reaches_the_engine(
    key: str, way: str, run_stem: RunStem, engine: Engine, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    make_songs(tmp_path, "Music/song.wav")
    of_format = {"format": "mp3"} if key in ("bitrate", "quality") else {}
    for name, value in {key: GOOD[key], **of_format}.items():
        if way == "file":
            assert run_stem("config", "set", name, value).exit_code == 0
        else:
            monkeypatch.setenv(SETTINGS[name].variable, value)
    result = run_stem("batch", "Music")
    assert result.exit_code == 0, result.output
    expected = {"jobs": 1, "retries": 0}
    changed = {FIELDS.get(key, key): REACHED[key], **of_format}
    expected |= {name: changed.pop(name) for name in expected if name in changed}
    assert (engine.jobs, engine.retries) == (expected["jobs"], expected["retries"])
    assert engine.options == Options(fall_back_to_only_track=True, **changed)


def test_lists_in_variables_have_commas(
    separate: Separate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEM_MODEL", "melroformer, runs/my run")
    monkeypatch.setenv("STEM_STEMS", "vocals,drums")
    options = separate()
    assert (options.model, options.stems) == (("melroformer", "runs/my run"), ("vocals", "drums"))


def test_every_option_that_can_have_a_setting_is_in_the_table() -> None:
    """What belongs to one song or one run, or is not an option of separation, has no setting."""
    assert isinstance(batch, SettingsCommand)
    of_one_run = {
        "start", "end", "track", "json", "quiet", "verbose", "cluster", "report", "include",
        "exclude", "recursive", "workflow",
    }  # fmt: skip
    options = [option for option in batch.params if isinstance(option, click.Option)]
    keys = {key_of(option) for option in options if not option.hidden}
    assert keys - of_one_run == {*SETTINGS}


@pytest.mark.parametrize(
    ("settings", "typed", "expected"),
    [
        # Another format on the command line leaves aside what it does not have.
        ("bit_depth = '24'", ("-f", "mp3"), {"depth": "auto"}),
        ("bit_depth = '24'", ("-f", "flac"), {"depth": "24"}),
        ("bit_depth = '32f'", ("-f", "flac"), {"depth": "auto"}),
        ("bitrate = 192", (), {"bitrate": None}),
        ("bitrate = 192", ("-f", "mp3"), {"bitrate": 192}),
        ("format = 'mp3'\nbitrate = 192", (), {"bitrate": 192}),
        ("format = 'mp3'\nbitrate = 192", ("-f", "wav"), {"bitrate": None}),
        ("format = 'mp3'\nbitrate = 192", ("-f", "mp3"), {"bitrate": 192}),
        # 2 is a good quality in mp3 and a bad one in ogg.
        ("format = 'mp3'\nquality = 2", ("-f", "ogg"), {"quality": None}),
        ("format = 'MP3'\nquality = 2", ("-f", "OGG"), {"quality": None}),
        ("format = 'MP3'\nquality = 2", ("-f", "mp3"), {"quality": 2.0}),
        ("format = 'mp4'\nquality = 2", ("-f", "ogg"), {"quality": 2.0}),
        ("format = 'flac'\nquality = 2", ("-f", "ogg"), {"quality": 2.0}),
        ("quality = 2", ("-f", "m4a"), {"quality": None}),
        ("clip_mode = 'none'", ("-f", "mp3"), {"clip_mode": "rescale"}),
        ("clip_mode = 'none'", ("--bit-depth", "16"), {"clip_mode": "rescale"}),
        ("clip_mode = 'none'\nbit_depth = '24'", ("-f", "ogg"), {"clip_mode": "rescale"}),
        ("clip_mode = 'none'", (), {"clip_mode": "none"}),
        # Of options that exclude each other, the typed one is used.
        ("stems = 'vocals'", ("--two-stems", "drums"), {"stems": (), "two_stems": "drums"}),
        ("two_stems = 'drums'", ("--stems", "bass"), {"stems": ("bass",), "two_stems": ""}),
        ("stems = 'vocals'", ("--karaoke",), {"stems": (), "karaoke": True}),
        ("two_stems = 'drums'", ("--karaoke",), {"two_stems": "", "karaoke": True}),
        ("karaoke = true", ("--stems", "bass"), {"stems": ("bass",), "karaoke": False}),
        ("karaoke = true", ("--no-karaoke",), {"karaoke": False}),
        ("format = 'mp3'\nquality = 2", ("--bitrate", "192"), {"quality": None, "bitrate": 192}),
        ("skip_existing = true", ("--overwrite",), {"existing": "overwrite"}),
        ("skip_existing = true", ("--no-skip-existing",), {"existing": "refuse"}),
        ("overwrite = true", ("--skip-existing",), {"existing": "skip"}),
        ("overwrite = true", ("--no-overwrite",), {"existing": "refuse"}),
    ],
)
def test_settings_that_do_not_fit_the_command_line_are_left_aside(
    settings: str, typed: tuple[str, ...], expected: dict[str, Any], store: Store,
    separate: Separate,
) -> None:  # fmt: skip
    store(settings)
    options = separate(*typed)
    assert {name: getattr(options, name) for name in expected} == expected


def test_the_environment_leaves_aside_what_does_not_fit_in_the_file(
    store: Store, separate: Separate, monkeypatch: pytest.MonkeyPatch
) -> None:
    store("format = 'mp3'\nquality = 2\nskip_existing = true")
    monkeypatch.setenv("STEM_FORMAT", "ogg")
    monkeypatch.setenv("STEM_OVERWRITE", "yes")
    options = separate()
    assert (options.quality, options.existing) == (None, "overwrite")
    monkeypatch.setenv("STEM_QUALITY", "8")
    assert separate().quality == 8.0
    assert separate("-f", "mp3").quality is None
    monkeypatch.setenv("STEM_FORMAT", "OGG")
    assert separate("-f", "mp3").quality is None
    assert separate("-f", "ogg").quality == 8.0


def test_a_numbered_gpu_does_not_apply_to_clusters(
    store: Store, run_stem: RunStem, engine: Engine, tmp_path: Path
) -> None:
    store("device = 'cuda:1'")
    (tmp_path / "Music").mkdir()
    (tmp_path / "Music/song.wav").touch()
    run_stem("batch", "Music")
    assert engine.options.device == "cuda:1"
    run_stem("batch", "Music", "--cluster")
    assert engine.options.device == "auto"


@pytest.mark.parametrize(
    ("command", "args", "device"),
    [(tune, ["melrnn"], "auto"), (train, [], "cuda:1"), (speed, [], "cuda:1")],
    ids=["tune", "train", "speed"],
)
def test_a_numbered_gpu_does_not_apply_where_ray_assigns_gpus(
    command: SettingsCommand, args: list[str], device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the command that decides, whatever it is called."""
    monkeypatch.setenv("STEM_DEVICE", "cuda:1")
    names = {"help_option_names": HELP_NAMES}
    assert command.make_context("any", [*args], **names).params["device"] == device
    typed = command.make_context("any", [*args, "--device", "cuda:1"], **names)
    assert typed.params["device"] == "cuda:1"


def test_every_option_has_one_flag() -> None:
    """The name in messages is the one that Click knows, and that of the setting."""
    assert isinstance(separate_command, SettingsCommand)
    ours = [
        each for each in separate_command.params
        if isinstance(each, click.Option) and not each.hidden and each.name != "as_json"
    ]  # fmt: skip
    assert len(ours) > len(SETTINGS)
    with command_line():
        assert [option(each.name or "") for each in ours] == [
            max(each.opts, key=len) for each in ours
        ]
        assert isinstance(batch, SettingsCommand)
        for name, setting in batch.settings.items():
            assert option(name) == setting.option


def test_a_damaged_file_stops_the_commands_that_read_it_but_not_their_help(
    store: Store, run_stem: RunStem
) -> None:
    file = store("format =")
    result = run_stem("separate", "song.wav")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: The settings in {file}: the file is not valid TOML")
    for works in (["separate", "--help"], ["models", "list"], ["config", "path"]):
        assert run_stem(*works).exit_code == 0


def test_without_a_home_folder_there_are_no_settings(
    separate: Separate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_home() -> Path:
        raise OutputError("There is no home folder")

    monkeypatch.setattr("stemcli.cli.settings_command.settings_file", no_home)
    monkeypatch.setenv("STEM_FORMAT", "mp3")
    assert separate().format == "mp3"


def test_misspelled_variables_get_a_note(
    run_stem: RunStem, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEM_FORMT", "mp3")
    monkeypatch.setenv("STEM_XYZZY", "of another program")
    assert run_stem("separate", "song.wav").stderr == (
        "Note: STEM_FORMT has no effect. Did you mean STEM_FORMAT?\n"
    )
    assert run_stem("separate", "song.wav", "--quiet").stderr == ""
    assert run_stem("separate", "song.wav", "--json").stderr == ""


def help_of(run_stem: RunStem, *command: str) -> str:
    """The help without spaces, as lines may break anywhere."""
    return "".join(run_stem(*command, "--help").output.split())


def test_help_shows_the_defaults_in_force(
    store: Store, run_stem: RunStem, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Fileformatofthestems.[default:wav]" in help_of(run_stem, "separate")
    file = store('format = "mp3"\nbitrate = 192\nshifts = 3')
    monkeypatch.setenv("STEM_BIT_DEPTH", "24")
    shown = help_of(run_stem, "separate")
    assert f"Fileformatofthestems.[default:mp3,fromformatin{file}]" in shown
    assert f"andm4a.[default:192,frombitratein{file}]" in shown
    assert f"[default:3,fromshiftsin{file};1<=x<=20]" in shown
    assert "forwavonly.[default:24,fromSTEM_BIT_DEPTH]" in shown


@pytest.mark.parametrize("command", ["train", "tune", "eval musdb", "eval speed"])
def test_training_takes_the_device_only(command: str, store: Store, run_stem: RunStem) -> None:
    """--output, --precision and --seed of stem train mean something else."""
    file = store("""output = "Stems"
precision = "bf16"
seed = 3
device = "cpu"
model = "melroformer"
overlap = 0.5
""")
    shown = help_of(run_stem, *command.split())
    assert shown.count(f"in{file}") == 1
    assert f"[default:cpu,fromdevicein{file}]" in shown
