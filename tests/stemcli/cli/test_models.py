"""``stem models`` with a zoo of one small network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from model_zoo import registry, weights
from model_zoo.catalogue.cards import Card
from model_zoo.catalogue.install import install
from model_zoo.catalogue.scores import CardScore
from tests.model_zoo.small import small_network
from tests.stemcli.cli.conftest import RunStem
from tests.stemcli.cli.results import error_line, errors


@pytest.fixture
def tiny(run_stem: RunStem) -> Card:
    score = CardScore("our song", "vocals", "SDR", "global", 3.25)
    card = Card("tiny", "melrnn", "A network for tests.", ("vocals",), residual="band")
    network = small_network()
    return install(network, Card.from_dict({**card.to_dict(), "scores": [score]}))


@pytest.mark.usefixtures("tiny")
def test_list(run_stem: RunStem) -> None:
    listed = run_stem("models", "list")
    header, *rows = listed.stdout.splitlines()
    assert header.split() == ["model", "gives", "parameters", "licence", "size", "installed"]
    (row,) = [row for row in rows if row.startswith("tiny ")]
    assert "vocals, band" in row
    assert row.split()[-1] == "yes"
    more = "165 more can be fetched: stem models list --all"  # of 178, 13 cannot be built
    assert listed.stderr == f"\n{more}\nArchitectures to train: stem models list --architectures\n"


def test_list_of_architectures(run_stem: RunStem) -> None:
    """Expected: the registry, and the documented parameter counts of the default sizes."""
    result = run_stem("models", "list", "--architectures")
    header, *rows = result.stdout.splitlines()
    assert header.split() == ["architecture", "what", "it", "is", "for", "gives", "parameters"]
    assert [row.split()[0] for row in rows] == [*registry.ARCHITECTURES]
    gives = {row.split()[0]: row.split()[-4:-2] for row in rows}
    assert gives["melrnn"] == ["any", "stems"]
    assert gives["phase_predictor"] == ["a", "phase"]
    assert "stem models info NAME" in result.stderr
    listed = json.loads(run_stem("models", "list", "--architectures", "--json").stdout)
    parameters = {each["architecture"]: each["parameters"] for each in listed}
    assert parameters["melrnn"] == 6_813_568
    assert parameters["melroformer"] == 8_841_856
    (tfswa,) = [each for each in listed if each["architecture"] == "tfswa_unet"]
    assert (tfswa["role"], tfswa["stems"]) == ("stems", ["vocals", "accompaniment"])


CARD = 'name = "{}"\narchitecture = "{}"\nstems = ["sound"]\n'


def test_models_that_give_no_stems_are_marked(tmp_path: Path, run_stem: RunStem) -> None:
    """Expected: the roles of their architectures."""
    (tmp_path / ".zoo").mkdir()
    for name, architecture in (("turn", "phase_predictor"), ("book", "vq_frame_transformer")):
        (tmp_path / f".zoo/{name}.toml").write_text(CARD.format(name, architecture))
    listed = run_stem("models", "list")
    lines = listed.stdout.splitlines()
    (turn,) = [line.split() for line in lines if line.startswith("turn")]
    (book,) = [line.split() for line in lines if line.startswith("book")]
    assert (turn[1:3], book[1]) == (["a", "phase"], "codes")
    assert "models that give a phase with --phase-model" in listed.stderr
    models = json.loads(run_stem("models", "list", "--json").stdout)
    roles = {model["name"]: model["role"] for model in models}
    assert (roles["turn"], roles["book"], roles["melroformer"]) == ("phase", "codes", "stems")
    output = run_stem("models", "info", "turn").stdout
    assert "a phase for the same sound, with --phase-model" in output
    assert "sound\n" not in output
    assert json.loads(run_stem("models", "info", "turn", "--json").stdout)["role"] == "phase"


def test_list_as_json(tiny: Card, run_stem: RunStem) -> None:
    models = json.loads(run_stem("models", "list", "--json").stdout)
    (model,) = [model for model in models if model["name"] == "tiny"]
    assert model["outputs"] == ["vocals", "band"]
    assert (model["sha256"], model["installed"]) == (tiny.sha256, True)


def test_info_counts_the_parameters_of_every_part(tiny: Card, run_stem: RunStem) -> None:
    model = json.loads(run_stem("models", "info", "tiny", "--json").stdout)
    assert sum(model["parts"].values()) == tiny.parameters == small_network().parameter_count()
    assert set(model["parts"]) == {name for name, _ in small_network().named_children()}


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("options", [(), ("--architectures",)])
def test_json_of_list_and_info_agree(options: tuple[str, ...], run_stem: RunStem) -> None:
    """Property: both have the same values for a model and for an architecture."""
    name = "melrnn" if options else "tiny"
    listed = json.loads(run_stem("models", "list", *options, "--json").stdout)
    (row,) = [each for each in listed if each.get("name", each["architecture"]) == name]
    page = json.loads(run_stem("models", "info", name, "--json").stdout)
    assert row.items() <= page.items()


def test_info_for_people(tiny: Card, run_stem: RunStem) -> None:
    output = run_stem("models", "info", "tiny").stdout
    for fact in ("A network for tests.", "vocals, band", tiny.sha256, "3.25", "SDR (global)"):
        assert fact in output


def test_info_draws_the_layers_of_a_model(tiny: Card, run_stem: RunStem) -> None:
    """By hand: 8192 samples at a hop of 32 give 257 frames; 6 bands of 8 features."""
    output = run_stem("models", "info", "tiny").stdout
    rows = [" ".join(line.split()) for line in output.splitlines()]
    assert f"MelRNN (stem 1, channel 1, time 8192) {tiny.parameters:,} parameters" in rows
    (block,) = [row for row in rows if "freq_blocks" in row]
    assert block.startswith("├── freq_blocks RNNBlock (batch 257, token 6, feature 8) ")
    assert "--architecture" not in output


def test_info_of_an_architecture(run_stem: RunStem) -> None:
    result = run_stem("models", "info", "melrnn")
    assert result.exit_code == 0, result.output
    for fact in (
        "an instrument, with few weights: recurrent networks over mel bands",
        "Luo and Yu 2022, arXiv 2209.15174",
        "48000 Hz",
        "8.53 s",
        "melrnn (stem tune melrnn)",
        "├── freq_blocks x9",
        "9 x 149,632",
        "6,813,568",
    ):
        assert fact in result.stdout


def test_info_of_an_architecture_as_json(run_stem: RunStem) -> None:
    """Property: the parameters of the parts add up to those of their parent."""
    tree = json.loads(run_stem("models", "info", "melunet", "--json").stdout)
    assert (tree["architecture"], tree["segment"], tree["recipe"]) == (
        "melunet",
        409_600,
        "melunet",
    )
    assert tree["parameters"] == tree["network"]["parameters"]
    nodes = [tree["network"]]
    while nodes:
        node = nodes.pop()
        nodes += node["parts"]
        in_parts = sum(part["parameters"] for part in node["parts"])
        assert not node["parts"] or in_parts * node["times"] == node["parameters"]


def test_info_with_changed_options(run_stem: RunStem) -> None:
    """By hand: with three layers instead of nine, each block repeats 3 times."""
    changes = ("num_layers=3", "stems=[vocals, drums]", "expander_db=-4e1")
    args = (*(word for change in changes for word in ("--set", change)), "--json")
    tree = json.loads(run_stem("models", "info", "melrnn", *args).stdout)
    assert tree["options"]["expander_db"] == -40.0
    assert tree["stems"] == ["vocals", "drums"]
    assert [part["times"] for part in tree["network"]["parts"][-2:]] == [3, 3]


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ("melrnn --set hidden_chanels=3", "--set: unknown key 'hidden_chanels', did you mean"),
        ("melrnn --set num_layers", "--set: 'num_layers' must look like num_layers=4"),
        ("melrnn --set num_layers=[", "--set: num_layers=[: not valid YAML: a list"),
        ("melrnn --set num_layers=", "--set: num_layers must be a whole number, found nothing"),
        ("melrnn --set num_layers=two", "num_layers must be a whole number, found 'two'"),
        ("melrnn --set xyzzy=2", "--set: unknown key 'xyzzy', known: stems, segment, audio_chan"),
        ("melrnn --set expander_db=5", "must lie between -100 and 0, found 5"),
        ("melrnn --set num_groups=7", "groups, found hidden_channels=128 and num_groups=7"),
        ("melrnn --set num_layers=0", "--set: num_layers must be at least 1, found 0"),
        ("tiny --set num_layers=2", "tiny is a model, whose options are fixed: use --set with an"),
        (
            "tiny --architecture",
            "'tiny' is not an architecture. See: stem models list --architectures",
        ),
        ("melrn", "Unknown architecture 'melrn': did you mean 'melrnn'? See: stem models list --a"),
        ("tiny --set num_layers", "e.g. stem models info melrnn --set num_layers=4"),
        ("weights.safetensors --set num_layers=2", "whose options are fixed: use --set with"),
        ("weights.safetensors --architecture", "is not an architecture. See: stem models list --a"),
        ("xyzzy", "Unknown model or architecture 'xyzzy': known: "),
        ("predictor", "Unknown architecture 'predictor': did you mean 'phase_predictor'? See: "),
        (
            "no.safetensors",
            "no.safetensors does not exist. Did you mean text.safetensors?",
        ),
        ("songs/tiny", "songs/tiny does not exist. Use the folder of a run, e.g. runs/latest, or"),
        (
            "song.wav",
            "song.wav is not a .safetensors file. To convert a checkpoint of another program:",
        ),
        (
            "old.pth",
            "old.pth is not a .safetensors file. To convert a checkpoint of another program: stem",
        ),
        ("Kim_1.onnx", "Kim_1.onnx cannot be used: weights of MDX-Net cannot be used yet"),
        ("net.onnx", "net.onnx is not a .safetensors file. To convert a checkpoint of another"),
        (
            "run",
            "run is an empty folder, so it is not the folder of a run. Use the folder of a run",
        ),
    ],
)
def test_info_errors_are_one_sentence(
    run_stem: RunStem, tmp_path: Path, args: str, expected: str
) -> None:
    (tmp_path / "run").mkdir()
    for file in ("song.wav", "old.pth", "Kim_1.onnx", "net.onnx", "text.safetensors"):
        (tmp_path / file).write_text("la la la")
    weights.save(tmp_path / "weights.safetensors", small_network())
    assert expected in error_line(run_stem("models", "info", *args.split()), 2)


def test_info_of_a_damaged_file(run_stem: RunStem, tmp_path: Path) -> None:
    (tmp_path / "text.safetensors").write_text("la la la")
    message = error_line(run_stem("models", "info", "text.safetensors"), 1)
    assert "text.safetensors is damaged or is not a safetensors file" in message


def test_info_shows_the_card_of_a_network_too_large_to_draw(
    tiny: Card, run_stem: RunStem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model_zoo.introspection.MOST_PARTS", 5)
    result = run_stem("models", "info", "tiny")
    assert result.exit_code == 0
    assert tiny.sha256 in result.stdout
    assert "Its network cannot be drawn (options: a network of more than 5 layers" in result.stderr
    assert json.loads(run_stem("models", "info", "tiny", "--json").stdout)["network"] is None


def test_info_of_a_file(run_stem: RunStem, tmp_path: Path) -> None:
    """Reference: the network saved in the file."""
    weights.save(tmp_path / "mine.safetensors", small_network())
    output = run_stem("models", "info", "mine.safetensors").stdout
    for fact in (
        "mine.safetensors",
        "melrnn",
        "├── band",
        f"{small_network().parameter_count():,}",
    ):
        assert fact in output
    info = json.loads(run_stem("models", "info", "mine.safetensors", "--json").stdout)
    assert (info["name"], info["architecture"]) == ("mine.safetensors", "melrnn")
    assert info["options"]["hidden_channels"] == 8


def test_info_of_a_name_shared_by_model_and_architecture(run_stem: RunStem) -> None:
    """The bundled model is smaller than its architecture's default size."""
    model = run_stem("models", "info", "melroformer", "--depth", "0")
    assert "3,919,872" in model.stdout
    lines = model.stderr.splitlines()
    assert lines[-1].endswith("Try: stem models info melroformer --architecture")
    assert lines[-3] == "For more levels, use --depth 1"
    architecture = run_stem("models", "info", "melroformer", "--architecture").stdout
    assert "8,841,856" in architecture


def test_a_card_without_weights_is_listed(tmp_path: Path, run_stem: RunStem) -> None:
    (tmp_path / ".zoo").mkdir()
    (tmp_path / ".zoo/bare.toml").write_text(
        'name = "bare"\narchitecture = "melrnn"\nstems = ["vocals"]\n'
    )
    (row,) = [row for row in run_stem("models", "list").stdout.splitlines() if row[:4] == "bare"]
    assert row.split()[-1] == "no"
    assert "bare" in run_stem("models", "info", "bare").stdout


@pytest.mark.usefixtures("tiny")
def test_verify(tmp_path: Path, run_stem: RunStem) -> None:
    weights = tmp_path / ".zoo/tiny.safetensors"
    assert "tiny: undamaged" in run_stem("models", "verify", "tiny").stdout
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    result = run_stem("models", "verify")
    assert result.exit_code == 1
    assert "another SHA-256" in result.stderr
    states = json.loads(run_stem("models", "verify", "--json").stdout)
    assert [state["ok"] for state in states if state["name"] == "tiny"] == [False]
    weights.unlink()
    assert "are not at" in run_stem("models", "verify", "tiny", "--quiet").stderr
    assert " no\n" in run_stem("models", "list").stdout


@pytest.mark.parametrize("command", ["list", "verify"])
@pytest.mark.usefixtures("tiny")
def test_a_damaged_card_does_not_hide_others(
    command: str, tmp_path: Path, run_stem: RunStem
) -> None:
    (tmp_path / ".zoo/torn.toml").write_text("]")
    result = run_stem("models", command)
    assert result.exit_code == 1
    assert "tiny" in result.stdout
    (line,) = errors(result.stderr)
    assert line.startswith(f"Error: The card {tmp_path / '.zoo/torn.toml'} cannot be used")


@pytest.mark.parametrize("command", ["info", "verify", "remove"])
@pytest.mark.usefixtures("tiny")
def test_an_unknown_name_gets_a_suggestion(command: str, run_stem: RunStem) -> None:
    result = run_stem("models", command, "tny")
    assert result.exit_code == 2
    assert result.stderr == (
        "Error: Unknown model 'tny': did you mean 'tiny'? See: stem models list\n"
    )


@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.usefixtures("tiny")
def test_remove(damaged: bool, tmp_path: Path, run_stem: RunStem) -> None:
    if damaged:
        (tmp_path / ".zoo/tiny.toml").write_text("]")
    assert run_stem("models", "remove", "tiny").exit_code == 0
    assert [*(tmp_path / ".zoo").iterdir()] == []


def test_bundled_models_cannot_be_removed(
    run_stem: RunStem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model_zoo.catalogue.cards.is_bundled", lambda name: True)
    monkeypatch.setattr("model_zoo.catalogue.cards.card_path", lambda name: Path("x.toml"))
    result = run_stem("models", "remove", "melroformer")
    assert (result.exit_code, "is a bundled model and cannot be removed" in result.stderr) == (
        2,
        True,
    )


def test_remove_never_deletes_outside_the_zoo(tmp_path: Path, run_stem: RunStem) -> None:
    (tmp_path / ".zoo").mkdir()
    (tmp_path / "precious").touch()
    (tmp_path / ".zoo/evil.toml").write_text('file = "../precious"\n')
    run_stem("models", "remove", "evil")
    assert (tmp_path / "precious").exists()


def test_convert(tmp_path: Path, run_stem: RunStem) -> None:
    import torch

    torch.save(small_network().state_dict(), tmp_path / "Guitar.pth")
    result = run_stem("models", "convert", "Guitar.pth", "--name", "guitar")
    assert result.exit_code == 0, result.output
    assert "Try: stem separate SONG --model guitar" in result.stderr
    listed = json.loads(run_stem("models", "list", "--json").stdout)
    assert ["guitar", "no_guitar"] in [model["outputs"] for model in listed]


@pytest.mark.parametrize(
    ("folder", "file", "sentence"),
    [
        ("songs", "a.wav", "songs is a folder without a TensorFlow checkpoint (model.index beside"),
        ("my run", "best.safetensors", "Try: stem models add 'my run' --name NAME"),
    ],
)
def test_convert_refuses_other_folders(
    folder: str, file: str, sentence: str, tmp_path: Path, run_stem: RunStem
) -> None:
    (tmp_path / folder).mkdir()
    (tmp_path / folder / file).touch()
    result = run_stem("models", "convert", folder, "--name", "x")
    assert (result.exit_code, sentence in result.stderr) == (2, True), result.stderr


def test_convert_refuses_other_files(tmp_path: Path, run_stem: RunStem) -> None:
    (tmp_path / "song.pth").write_text("la la la")
    result = run_stem("models", "convert", "song.pth", "--name", "x")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: song.pth ")
    assert not (tmp_path / ".zoo").exists()


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ("melrnn --set hidden_channels=1000000000000", "cannot be described. Use smaller numbers"),
        ("melunet --set num_layers=1000000000", "num_layers must be at most 16, found 1000000000"),
        (
            "melrnn --set window_size=16777216 --set segment=16777216",
            "num_bands times window_size must be at most 33,554,432, found 1,073,741,824",
        ),
        ("spectrogram_net_lstm --set num_levels=1000000000", "take num_levels=7"),
        ("tfswa_resunet --set num_layers=1000000000", "more than 500 layers and tensors is too"),
        ("melroformer --set num_layers=1000000000 --set hidden_channels=100000", "more than 500 "),
    ],
)
def test_a_network_that_is_too_large_is_refused(
    run_stem: RunStem, monkeypatch: pytest.MonkeyPatch, args: str, expected: str
) -> None:
    """Building any of these networks would exceed the test's time limit."""
    monkeypatch.setattr("model_zoo.introspection.MOST_PARTS", 500)
    assert expected in error_line(run_stem("models", "info", *args.split()), 2)
