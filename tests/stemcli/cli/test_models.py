"""``stem models`` over a real zoo that holds one small network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from model_zoo import registry, weights
from model_zoo.catalogue.cards import Card, CardScore
from model_zoo.catalogue.install import install
from tests.model_zoo.small import small_network
from tests.stemcli.cli.conftest import Typed
from tests.stemcli.cli.watching import errors, sentence


@pytest.fixture
def tiny(typed: Typed) -> Card:
    score = CardScore("our song", "vocals", "SDR", "global", 3.25)
    card = Card("tiny", "melrnn", "A network for tests.", ("vocals",), residual="band")
    network = small_network()
    return install(network, Card.from_dict({**card.to_dict(), "scores": [score]}))


@pytest.mark.usefixtures("tiny")
def test_list(typed: Typed) -> None:
    listed = typed("models", "list")
    header, *rows = listed.stdout.splitlines()
    assert header.split() == ["model", "gives", "parameters", "licence", "size", "installed"]
    (row,) = [row for row in rows if row.startswith("tiny ")]
    assert "vocals, band" in row
    assert row.split()[-1] == "yes"
    assert listed.stderr == "\nArchitectures to train: stem models list --architectures\n"


def test_list_of_architectures(typed: Typed) -> None:
    """Truth: the registry, and the parameters that are documented for the usual sizes."""
    shown = typed("models", "list", "--architectures")
    header, *rows = shown.stdout.splitlines()
    assert header.split() == ["architecture", "what", "it", "is", "for", "gives", "parameters"]
    assert [row.split()[0] for row in rows] == [*registry.ARCHITECTURES]
    gives = {row.split()[0]: row.split()[-4:-2] for row in rows}
    assert gives["melrnn"] == ["any", "stems"]
    assert gives["phase_predictor"] == ["a", "phase"]
    assert "stem models info NAME" in shown.stderr
    listed = json.loads(typed("models", "list", "--architectures", "--json").stdout)
    parameters = {each["architecture"]: each["parameters"] for each in listed}
    assert parameters["melrnn"] == 6_813_568
    assert parameters["melroformer"] == 8_841_856
    (tfswa,) = [each for each in listed if each["architecture"] == "tfswa_unet"]
    assert (tfswa["role"], tfswa["stems"]) == ("stems", ["vocals", "accompaniment"])


CARD = 'name = "{}"\narchitecture = "{}"\nstems = ["sound"]\n'


def test_a_model_that_gives_no_stems_says_so(tmp_path: Path, typed: Typed) -> None:
    """Truth: the roles of their architectures."""
    (tmp_path / ".zoo").mkdir()
    for name, architecture in (("turn", "phase_predictor"), ("book", "vq_frame_transformer")):
        (tmp_path / f".zoo/{name}.toml").write_text(CARD.format(name, architecture))
    listed = typed("models", "list")
    lines = listed.stdout.splitlines()
    (turn,) = [line.split() for line in lines if line.startswith("turn")]
    (book,) = [line.split() for line in lines if line.startswith("book")]
    assert (turn[1:3], book[1]) == (["a", "phase"], "codes")
    assert "models that give a phase with --phase-model" in listed.stderr
    models = json.loads(typed("models", "list", "--json").stdout)
    roles = {model["name"]: model["role"] for model in models}
    assert (roles["turn"], roles["book"], roles["melroformer"]) == ("phase", "codes", "stems")
    shown = typed("models", "info", "turn").stdout
    assert "a phase for the same sound, with --phase-model" in shown
    assert "sound\n" not in shown
    assert json.loads(typed("models", "info", "turn", "--json").stdout)["role"] == "phase"


def test_list_for_programs(tiny: Card, typed: Typed) -> None:
    models = json.loads(typed("models", "list", "--json").stdout)
    (model,) = [model for model in models if model["name"] == "tiny"]
    assert model["outputs"] == ["vocals", "band"]
    assert (model["sha256"], model["installed"]) == (tiny.sha256, True)


def test_info_counts_the_parameters_of_every_part(tiny: Card, typed: Typed) -> None:
    model = json.loads(typed("models", "info", "tiny", "--json").stdout)
    assert sum(model["parts"].values()) == tiny.parameters == small_network().parameter_count()
    assert set(model["parts"]) == {name for name, _ in small_network().named_children()}


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("options", [(), ("--architectures",)])
def test_lists_and_pages_for_programs_agree(options: tuple[str, ...], typed: Typed) -> None:
    """Property: whatever both tell of the small model, or of an architecture, is the same."""
    name = "melrnn" if options else "tiny"
    listed = json.loads(typed("models", "list", *options, "--json").stdout)
    (row,) = [each for each in listed if each.get("name", each["architecture"]) == name]
    page = json.loads(typed("models", "info", name, "--json").stdout)
    assert row.items() <= page.items()


def test_info_for_people(tiny: Card, typed: Typed) -> None:
    shown = typed("models", "info", "tiny").stdout
    for fact in ("A network for tests.", "vocals, band", tiny.sha256, "3.25", "SDR (global)"):
        assert fact in shown


def test_info_draws_the_parts_of_a_model(tiny: Card, typed: Typed) -> None:
    """By hand: 8192 samples at a hop of 32 are 257 frames; 6 bands of 8 features."""
    shown = typed("models", "info", "tiny").stdout
    rows = [" ".join(line.split()) for line in shown.splitlines()]
    assert f"MelRNN (stem 1, channel 1, time 8192) {tiny.parameters:,} parameters" in rows
    (block,) = [row for row in rows if "freq_blocks" in row]
    assert block.startswith("├── freq_blocks RNNBlock (batch 257, token 6, feature 8) ")
    assert "--architecture" not in shown


def test_info_of_an_architecture(typed: Typed) -> None:
    result = typed("models", "info", "melrnn")
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


def test_info_of_an_architecture_for_programs(typed: Typed) -> None:
    """Property: what the parts have, with what their parent owns itself, is what the parent has."""
    tree = json.loads(typed("models", "info", "melunet", "--json").stdout)
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
        inside = sum(part["parameters"] for part in node["parts"])
        assert not node["parts"] or inside * node["times"] == node["parameters"]


def test_info_in_another_size(typed: Typed) -> None:
    """By hand: three layers instead of nine are six frequency and six time blocks less."""
    changes = ("num_layers=3", "stems=[vocals, drums]", "expander_db=-4e1")
    words = (*(word for change in changes for word in ("--set", change)), "--json")
    tree = json.loads(typed("models", "info", "melrnn", *words).stdout)
    assert tree["options"]["expander_db"] == -40.0
    assert tree["stems"] == ["vocals", "drums"]
    assert [part["times"] for part in tree["network"]["parts"][-2:]] == [3, 3]


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("words", "said"),
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
        (
            "run",
            "run is an empty folder, so it is not the folder of a run. Use the folder of a run",
        ),
    ],
)
def test_what_info_cannot_show_is_one_sentence(
    typed: Typed, tmp_path: Path, words: str, said: str
) -> None:
    (tmp_path / "run").mkdir()
    for file in ("song.wav", "old.pth", "text.safetensors"):
        (tmp_path / file).write_text("la la la")
    weights.save(tmp_path / "weights.safetensors", small_network())
    assert said in sentence(typed("models", "info", *words.split()), 2)


def test_info_of_a_damaged_file(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "text.safetensors").write_text("la la la")
    said = sentence(typed("models", "info", "text.safetensors"), 1)
    assert "text.safetensors is damaged or is not a safetensors file" in said


def test_a_card_is_shown_where_its_network_is_too_large(
    tiny: Card, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model_zoo.introspection.MOST_PARTS", 5)
    shown = typed("models", "info", "tiny")
    assert shown.exit_code == 0
    assert tiny.sha256 in shown.stdout
    assert "Its network cannot be drawn (options: a network of more than 5 layers" in shown.stderr
    assert json.loads(typed("models", "info", "tiny", "--json").stdout)["network"] is None


def test_info_of_a_file(typed: Typed, tmp_path: Path) -> None:
    """Truth: the network that was saved there."""
    weights.save(tmp_path / "mine.safetensors", small_network())
    shown = typed("models", "info", "mine.safetensors").stdout
    for fact in (
        "mine.safetensors",
        "melrnn",
        "├── band",
        f"{small_network().parameter_count():,}",
    ):
        assert fact in shown
    told = json.loads(typed("models", "info", "mine.safetensors", "--json").stdout)
    assert (told["name"], told["architecture"]) == ("mine.safetensors", "melrnn")
    assert told["options"]["hidden_channels"] == 8


def test_a_name_of_a_model_and_of_an_architecture(typed: Typed) -> None:
    """The bundled model is smaller than its architecture's usual size."""
    model = typed("models", "info", "melroformer", "--depth", "0")
    assert "3,919,872" in model.stdout
    lines = model.stderr.splitlines()
    assert lines[-1].endswith("Try: stem models info melroformer --architecture")
    assert lines[-3] == "For more levels, use --depth 1"
    architecture = typed("models", "info", "melroformer", "--architecture").stdout
    assert "8,841,856" in architecture


def test_a_card_without_weights_is_listed(tmp_path: Path, typed: Typed) -> None:
    (tmp_path / ".zoo").mkdir()
    (tmp_path / ".zoo/bare.toml").write_text(
        'name = "bare"\narchitecture = "melrnn"\nstems = ["vocals"]\n'
    )
    (row,) = [row for row in typed("models", "list").stdout.splitlines() if row[:4] == "bare"]
    assert row.split()[-1] == "no"
    assert "bare" in typed("models", "info", "bare").stdout


@pytest.mark.usefixtures("tiny")
def test_verify(tmp_path: Path, typed: Typed) -> None:
    weights = tmp_path / ".zoo/tiny.safetensors"
    assert "tiny: undamaged" in typed("models", "verify", "tiny").stdout
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    result = typed("models", "verify")
    assert result.exit_code == 1
    assert "another SHA-256" in result.stderr
    states = json.loads(typed("models", "verify", "--json").stdout)
    assert [state["ok"] for state in states if state["name"] == "tiny"] == [False]
    weights.unlink()
    assert "are not at" in typed("models", "verify", "tiny", "--quiet").stderr
    assert " no\n" in typed("models", "list").stdout


@pytest.mark.parametrize("command", ["list", "verify"])
@pytest.mark.usefixtures("tiny")
def test_a_damaged_card_hides_no_other(command: str, tmp_path: Path, typed: Typed) -> None:
    (tmp_path / ".zoo/torn.toml").write_text("]")
    result = typed("models", command)
    assert result.exit_code == 1
    assert "tiny" in result.stdout
    (line,) = errors(result.stderr)
    assert line.startswith(f"Error: The card {tmp_path / '.zoo/torn.toml'} cannot be used")


@pytest.mark.parametrize("command", ["info", "verify", "remove"])
@pytest.mark.usefixtures("tiny")
def test_an_unknown_name_gets_the_nearest(command: str, typed: Typed) -> None:
    result = typed("models", command, "tny")
    assert result.exit_code == 2
    assert result.stderr == (
        "Error: Unknown model 'tny': did you mean 'tiny'? See: stem models list\n"
    )


@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.usefixtures("tiny")
def test_remove(damaged: bool, tmp_path: Path, typed: Typed) -> None:
    if damaged:
        (tmp_path / ".zoo/tiny.toml").write_text("]")
    assert typed("models", "remove", "tiny").exit_code == 0
    assert [*(tmp_path / ".zoo").iterdir()] == []


def test_what_came_with_stem_stays(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model_zoo.catalogue.cards.is_bundled", lambda name: True)
    monkeypatch.setattr("model_zoo.catalogue.cards.card_path", lambda name: Path("x.toml"))
    result = typed("models", "remove", "melroformer")
    assert (result.exit_code, "is a bundled model and cannot be removed" in result.stderr) == (
        2,
        True,
    )


def test_remove_never_leaves_the_zoo(tmp_path: Path, typed: Typed) -> None:
    (tmp_path / ".zoo").mkdir()
    (tmp_path / "precious").touch()
    (tmp_path / ".zoo/evil.toml").write_text('file = "../precious"\n')
    typed("models", "remove", "evil")
    assert (tmp_path / "precious").exists()


def test_convert(tmp_path: Path, typed: Typed) -> None:
    import torch

    torch.save(small_network().state_dict(), tmp_path / "Guitar.pth")
    result = typed("models", "convert", "Guitar.pth", "--name", "guitar")
    assert result.exit_code == 0, result.output
    assert "Try: stem separate SONG --model guitar" in result.stderr
    listed = json.loads(typed("models", "list", "--json").stdout)
    assert ["guitar", "no_guitar"] in [model["outputs"] for model in listed]


@pytest.mark.parametrize(
    ("folder", "file", "sentence"),
    [
        ("songs", "a.wav", "songs is a folder without a TensorFlow checkpoint (model.index beside"),
        ("my run", "best.safetensors", "Try: stem models add 'my run' --name NAME"),
    ],
)
def test_convert_refuses_other_folders(
    folder: str, file: str, sentence: str, tmp_path: Path, typed: Typed
) -> None:
    (tmp_path / folder).mkdir()
    (tmp_path / folder / file).touch()
    result = typed("models", "convert", folder, "--name", "x")
    assert (result.exit_code, sentence in result.stderr) == (2, True), result.stderr


def test_convert_refuses_what_is_no_checkpoint(tmp_path: Path, typed: Typed) -> None:
    (tmp_path / "song.pth").write_text("la la la")
    result = typed("models", "convert", "song.pth", "--name", "x")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: song.pth ")
    assert not (tmp_path / ".zoo").exists()


@pytest.mark.parametrize(
    ("words", "said"),
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
    typed: Typed, monkeypatch: pytest.MonkeyPatch, words: str, said: str
) -> None:
    """Truth: none of these could be built before the test would be ended."""
    monkeypatch.setattr("model_zoo.introspection.MOST_PARTS", 500)
    assert said in sentence(typed("models", "info", *words.split()), 2)
