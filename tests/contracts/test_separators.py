"""The contract of a separator, for every architecture of the registry.

Truth: the contract as :mod:`model_zoo.separator` states it, and for parameter counts the documented
sizes of the original networks (their public code, or closed forms worked by hand).
"""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import torch
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.nn.modules.module import register_module_forward_pre_hook

from model_zoo import registry, weights
from model_zoo.catalogue import resolve
from model_zoo.introspection import LayerInfo, build_on_meta, layer_tree
from model_zoo.ops.tensors import whole
from model_zoo.separator import Separator, SpectralSeparator
from tests.model_zoo.sizes import SEVERAL, THREE, Documented, documented
from trainers.loop.execution import shard

NAMES = sorted(registry.ARCHITECTURES)
DOCUMENTED = [
    pytest.param(name, size, id=f"{name}-{size.parameters}")
    for name in NAMES
    for size in documented(name, registry.architecture(name).documented_parameters)
]


def small(name: str, **options: object) -> Separator:
    torch.manual_seed(0)
    return registry.build(name, {**registry.architecture(name).small_options, **options}).eval()


def window(network: Separator) -> int:
    """Samples of the shortest mixture that a network has to take."""
    return getattr(network.config, "window_size", 1)


def wave(batch: int, channels: int, samples: int) -> Tensor:
    """A chirp per item and channel, each with its own phase: no two rows alike, none silent."""
    time = torch.arange(samples) / samples
    phase = torch.arange(batch * channels).reshape(batch, channels, 1)
    return 0.5 * torch.sin(2 * math.pi * (20 * time + 300 * time**2) + phase)


def learn(network: Separator, mixture: Tensor) -> dict[str, Tensor]:
    """Gradients of what a network gives and of what it finds in itself."""
    torch.manual_seed(0)
    stems = network.train()(mixture)
    torch.stack([stems.square().sum(), *network.auxiliary_losses().values()]).sum().backward()
    return {n: whole(p.grad) for n, p in network.named_parameters() if p.grad is not None}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeviceMesh]:
    """A group of one process."""
    place = f"file://{tmp_path_factory.mktemp('group') / 'meeting'}"
    dist.init_process_group("gloo", init_method=place, rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


@pytest.fixture(params=NAMES)
def network(request: pytest.FixtureRequest) -> Separator:
    return small(request.param)


@pytest.mark.parametrize("name", NAMES)
def test_says_what_it_is_for(name: str) -> None:
    kind = registry.architecture(name)
    assert 20 < len(kind.purpose) < 100
    assert small(name).parameter_count() < 200_000


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=12)
@given(samples=st.integers(0, 1744), batch=st.integers(1, 2))
def test_gives_stems_of_the_length_it_got(name: str, samples: int, batch: int) -> None:
    network = small(name)
    samples += window(network)
    stems = network(wave(batch, network.channels, samples))
    assert stems.shape == (batch, len(network.stems), network.channels, samples)
    assert stems.dtype == torch.float32
    assert stems.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_several_stems_and_what_channels_it_hears(name: str) -> None:
    network = small(name, **SEVERAL.get(name, {"stems": THREE}))
    stems = network(wave(2, network.channels, 1001))
    count = 3 if network.role == "stems" else 1
    assert stems.shape == (2, count, network.channels, 1001)
    assert len({*network.stems}) == count


def test_items_of_a_batch_do_not_see_each_other(network: Separator) -> None:
    pair = wave(2, network.channels, 800)
    alone = torch.cat([network(pair[:1]), network(pair[1:])])
    torch.testing.assert_close(network(pair), alone, atol=1e-5, rtol=1e-4)


def test_evaluation_is_deterministic(network: Separator) -> None:
    mixture = wave(1, network.channels, 777)
    assert torch.equal(network(mixture), network(mixture))


def test_gradient_reaches_every_parameter(network: Separator) -> None:
    gradients = learn(network, wave(2, network.channels, 1600))
    assert network.auxiliary_losses().keys() == {*network.auxiliary_loss_names}
    reached = {name for name, gradient in gradients.items() if gradient.any()}
    assert {name for name, _ in network.named_parameters()} == reached


def test_silence_is_learned_from(network: Separator) -> None:
    """A song may pause for longer than a clip: roots and logarithms must bear it."""
    gradients = learn(network, torch.zeros(2, network.channels, 1600))
    assert [name for name, gradient in gradients.items() if not gradient.isfinite().all()] == []


def test_is_copied_after_it_learned(network: Separator) -> None:
    """As averages of weights and runs in processes of their own need it."""
    mixture = wave(1, network.channels, 1600)
    learn(network, mixture)
    expected = network.eval()(mixture)
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(other(mixture), expected)


def test_learns_the_same_when_it_is_sharded(network: Separator, alone: DeviceMesh) -> None:
    """Truth: the whole network. A group of one does the same without sending.

    Sums may be taken in another order, so errors are measured by the largest gradient of a tensor.
    """
    mixture = wave(2, network.channels, 1600)
    sharded = copy.deepcopy(network)
    shard(sharded, alone)
    found, expected = learn(sharded, mixture), learn(network, mixture)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        close = {"rtol": 1e-5, "atol": 1e-5 * max(1.0, float(gradient.abs().max()))}
        torch.testing.assert_close(
            found[name], gradient, **close, msg=lambda text, name=name: name + text
        )


def test_bfloat16_is_near_float32_unless_a_network_asks_for_more(network: Separator) -> None:
    """Property: 8 bits of a number are 48 dB; a network may lose one of them on its way, and a bit."""
    mixture = wave(1, network.channels, 4096)
    with torch.inference_mode():
        full = network(mixture)
        with torch.autocast("cpu", torch.bfloat16):
            coarse = network(mixture)
    ratio = (full.square().sum() / (coarse - full).square().sum()).log10().item()
    assert (10 * ratio >= 40) is not network.needs_float32


def test_saved_and_loaded_bit_for_bit(network: Separator, tmp_path: Path) -> None:
    path = tmp_path / "network.safetensors"
    weights.save(path, network)
    loaded = resolve.load(path)
    assert type(loaded) is type(network)
    assert loaded.config == network.config
    assert not loaded.training
    assert list(loaded.state_dict()) == list(network.state_dict())
    for name, tensor in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    mixture = wave(1, network.channels, 640)
    assert torch.equal(loaded(mixture), network(mixture))


def test_attributes_agree_with_the_config(network: Separator) -> None:
    assert network.sample_rate == network.config.to_dict()["sample_rate"]
    assert network.stems == network.config.to_dict()["stems"]
    assert network.channels in (1, 2)
    assert network.segment > 0
    assert all(isinstance(stem, str) for stem in network.stems)
    rebuilt = type(network).from_config(network.config)
    assert rebuilt.config == network.config


def test_no_tensor_depends_on_options_that_are_free(network: Separator) -> None:
    """Stems apart: their number is that of rows."""
    changed = {
        name: other_value(network, name)
        for name in network.weight_independent_options
        if name != "stems"
    }
    other = small(registry.name_of(network), **changed)
    assert {name: value.shape for name, value in other.state_dict().items()} == {
        name: value.shape for name, value in network.state_dict().items()
    }


def other_value(network: Separator, option: str) -> object:
    """Half of a number, another of several words, and a number where there was none."""
    value = network.config.to_dict()[option]
    if isinstance(value, str):
        words = get_args(get_type_hints(network.Config)[option])
        return next(word for word in words if word != value)
    return -20.0 if value is None else type(value)(value / 2)


@pytest.mark.parametrize("name", NAMES)
def test_spectrograms_take_one_way(name: str) -> None:
    """Property: families differ in their front end and their core, not in the path through both."""
    kind = registry.architecture(name)
    overriding = {base.__name__ for base in kind.__mro__ if "forward" in vars(base)}
    if issubclass(kind, SpectralSeparator):
        assert overriding == {"SpectralSeparator", "Separator", "Module"}
    assert overriding > {"Separator"}


def test_core_is_built_once(network: Separator) -> None:
    assert network.core is network.core
    held = {id(parameter) for parameter in network.parameters()}
    assert {id(parameter) for parameter in network.core.parameters()} == held


def test_core_adds_no_tensor_names(network: Separator) -> None:
    before = list(network.state_dict())
    assert isinstance(network.core, nn.Module)
    assert list(network.state_dict()) == before
    assert not any(name.startswith("core") for name in before)


# torch's recurrent layers keep a second list of their weights and warn when export looks at it.
@pytest.mark.filterwarnings("ignore:The tensor attributes:UserWarning")
def test_core_exports_and_computes_the_same(network: Separator) -> None:
    features = core_input(network)
    program = torch.export.export(network.core, (features,))
    expected = network.core(features)
    torch.testing.assert_close(program.module()(features), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("name", "size"), DOCUMENTED)
def test_documented_number_of_parameters(name: str, size: Documented) -> None:
    with torch.device("meta"):
        network = registry.architecture(name)(*size.arguments, **size.options)
    assert network.parameter_count() == size.parameters


@pytest.mark.parametrize("name", NAMES)
def test_the_usual_size_is_documented_first(name: str) -> None:
    """A list of all architectures tells its number of parameters and builds none of them."""
    kind = registry.architecture(name)
    size = documented(name, kind.documented_parameters)[0]
    assert size.parameters == kind.documented_parameters
    assert kind.Config(*size.arguments, **size.options) == kind.Config()


@pytest.mark.parametrize("name", NAMES)
def test_the_registry_knows_what_it_gives(name: str) -> None:
    """Property: what can be known without torch is what the class says."""
    assert registry.role(name) == registry.architecture(name).role


def core_input(network: Separator) -> Tensor:
    """What the network itself hands to its core."""
    seen: list[Tensor] = []
    kind = type(network.core)

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if isinstance(module, kind):
            seen.append(inputs[0].detach())

    handle = register_module_forward_pre_hook(note)
    network(wave(1, network.channels, 900))
    handle.remove()
    return seen[0]


def test_is_drawn_without_weights_as_it_is_with_them(network: Separator) -> None:
    """``stem models info`` shows what comes out of every part, of any size, in no memory."""
    heard: dict[nn.Module, torch.Size] = {}

    def note(module: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor):
            heard.setdefault(module, output.shape)

    for module in network.modules():
        module.register_forward_hook(note)
    network(wave(1, network.channels, network.segment))
    drawn = layer_tree(build_on_meta(registry.name_of(network), network.config.to_dict()))
    assert drawn.shape == heard[network]
    assert drawn.parameters == network.parameter_count()
    assert {part.shape for part in parts_below(drawn)} >= {
        tuple(heard[child]) for child in network.children() if child in heard
    }
    assert len([*parts_below(drawn)]) > 3


def parts_below(part: LayerInfo) -> Iterator[LayerInfo]:
    for child in part.parts:
        yield child
        yield from parts_below(child)


def test_blocks_hold_every_parameter(network: Separator) -> None:
    blocks = [parameter for block in network.blocks() for parameter in block.parameters()]
    assert {*map(id, blocks)} == {*map(id, network.parameters())}
    assert len([*network.blocks()]) > 1
