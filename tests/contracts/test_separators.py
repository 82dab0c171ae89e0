"""The contract of a separator, for every architecture in the registry.

Reference: the contract in :mod:`model_zoo.separator`, and for parameter counts the documented
sizes of the original networks (their public code, or formulas worked by hand).
"""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Iterator
from functools import cache
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
from model_zoo.ops.tensors import full_tensor
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


@cache
def small_once(name: str) -> Separator:
    """A network for tests that do not change it."""
    return small(name)


def window(network: Separator) -> int:
    """Length in samples of the shortest mixture that a network must accept."""
    return getattr(network.config, "window_size", 1)


def wave(batch: int, channels: int, samples: int) -> Tensor:
    """A chirp per item and channel, each with another phase, so that all rows differ."""
    time = torch.arange(samples) / samples
    phase = torch.arange(batch * channels).reshape(batch, channels, 1)
    return 0.5 * torch.sin(2 * math.pi * (20 * time + 300 * time**2) + phase)


def gradients_of(network: Separator, mixture: Tensor) -> dict[str, Tensor]:
    """Gradients of a network's output and auxiliary losses."""
    torch.manual_seed(0)
    stems = network.train()(mixture)
    torch.stack([stems.square().sum(), *network.auxiliary_losses().values()]).sum().backward()
    return {n: full_tensor(p.grad) for n, p in network.named_parameters() if p.grad is not None}


@pytest.fixture(scope="module")
def single_process_mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeviceMesh]:
    """A device mesh of a single process."""
    store = f"file://{tmp_path_factory.mktemp('group') / 'meeting'}"
    dist.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


@pytest.fixture(params=NAMES)
def network(request: pytest.FixtureRequest) -> Separator:
    return small(request.param)


EXPORTED = {"melroformer", "melrnn", "spectrogram_net_simple", "htdemucs"}
"""Architectures with attention, recurrent layers, convolutions and all of them, which are exported
each time; torch takes seconds for each, so that the others are marked slow."""


@pytest.mark.parametrize("name", NAMES)
def test_the_purpose_is_stated(name: str) -> None:
    kind = registry.architecture(name)
    assert 20 < len(kind.purpose) < 100
    assert small(name).parameter_count() < 200_000


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=6)
@given(samples=st.integers(0, 1744), batch=st.integers(1, 2))
def test_stems_have_the_length_of_the_mixture(name: str, samples: int, batch: int) -> None:
    network = small_once(name)
    samples += window(network)
    stems = network(wave(batch, network.channels, samples))
    assert stems.shape == (batch, len(network.stems), network.channels, samples)
    assert stems.dtype == torch.float32
    assert stems.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_several_stems_and_channels(name: str) -> None:
    network = small(name, **SEVERAL.get(name, {"stems": THREE}))
    stems = network(wave(2, network.channels, 1001))
    count = 3 if network.role == "stems" else 1
    assert stems.shape == (2, count, network.channels, 1001)
    assert len({*network.stems}) == count


def test_items_of_a_batch_are_independent(network: Separator) -> None:
    pair = wave(2, network.channels, 800)
    one_by_one = torch.cat([network(pair[:1]), network(pair[1:])])
    torch.testing.assert_close(network(pair), one_by_one, atol=1e-5, rtol=1e-4)


def test_evaluation_is_deterministic(network: Separator) -> None:
    mixture = wave(1, network.channels, 777)
    assert torch.equal(network(mixture), network(mixture))


def test_gradient_reaches_every_parameter(network: Separator) -> None:
    gradients = gradients_of(network, wave(2, network.channels, 1600))
    assert network.auxiliary_losses().keys() == {*network.auxiliary_loss_names}
    reached = {name for name, gradient in gradients.items() if gradient.any()}
    assert {name for name, _ in network.named_parameters()} == reached


def test_silence_has_finite_gradients(network: Separator) -> None:
    """Clips may be silent, so square roots and logarithms must handle it."""
    gradients = gradients_of(network, torch.zeros(2, network.channels, 1600))
    assert [name for name, gradient in gradients.items() if not gradient.isfinite().all()] == []


def test_a_trained_network_can_be_copied(network: Separator) -> None:
    """Weight averages and worker processes copy networks."""
    mixture = wave(1, network.channels, 1600)
    gradients_of(network, mixture)
    expected = network.eval()(mixture)
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(other(mixture), expected)


def test_sharding_does_not_change_the_gradients(
    network: Separator, single_process_mesh: DeviceMesh
) -> None:
    """Reference: the unsharded network. A group of one process needs no communication.

    The order of sums may differ, so errors are relative to the largest gradient of a tensor.
    """
    mixture = wave(2, network.channels, 1600)
    sharded = copy.deepcopy(network)
    shard(sharded, single_process_mesh)
    gradients, expected = gradients_of(sharded, mixture), gradients_of(network, mixture)
    assert gradients.keys() == expected.keys()
    for name, gradient in expected.items():
        close = {"rtol": 1e-5, "atol": 1e-5 * max(1.0, float(gradient.abs().max()))}
        torch.testing.assert_close(
            gradients[name], gradient, **close, msg=lambda text, name=name: name + text
        )


def test_bfloat16_is_close_to_float32_unless_float32_is_needed(network: Separator) -> None:
    """8 bits of precision are 48 dB; a network may lose one of them, and a little more."""
    mixture = wave(1, network.channels, 4096)
    with torch.inference_mode():
        full = network(mixture)
        with torch.autocast("cpu", torch.bfloat16):
            coarse = network(mixture)
    ratio = (full.square().sum() / (coarse - full).square().sum()).log10().item()
    assert (10 * ratio >= 40) is not network.needs_float32


def test_weights_are_saved_and_loaded_bit_for_bit(network: Separator, tmp_path: Path) -> None:
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


def test_tensor_shapes_do_not_depend_on_weight_independent_options(network: Separator) -> None:
    """Except stems, whose number sets the number of rows."""
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
    """Half of a number, another of the allowed words, or a number instead of none."""
    value = network.config.to_dict()[option]
    if isinstance(value, str):
        allowed = get_args(get_type_hints(network.Config)[option])
        return next(word for word in allowed if word != value)
    return -20.0 if value is None else type(value)(value / 2)


@pytest.mark.parametrize("name", NAMES)
def test_spectral_networks_share_one_forward(name: str) -> None:
    """Property: architectures differ in front end and core, not in ``forward``."""
    kind = registry.architecture(name)
    overriding = {base.__name__ for base in kind.__mro__ if "forward" in vars(base)}
    if issubclass(kind, SpectralSeparator):
        assert overriding == {"SpectralSeparator", "Separator", "Module"}
    assert overriding > {"Separator"}


def test_core_is_built_once(network: Separator) -> None:
    assert network.core is network.core
    own_ids = {id(parameter) for parameter in network.parameters()}
    assert {id(parameter) for parameter in network.core.parameters()} == own_ids


def test_core_adds_no_tensor_names(network: Separator) -> None:
    before = list(network.state_dict())
    assert isinstance(network.core, nn.Module)
    assert list(network.state_dict()) == before
    assert not any(name.startswith("core") for name in before)


# torch's recurrent layers keep a second list of their weights and warn when it is exported.
@pytest.mark.filterwarnings("ignore:The tensor attributes:UserWarning")
@pytest.mark.parametrize(
    "network",
    [pytest.param(name, marks=[pytest.mark.slow] * (name not in EXPORTED)) for name in NAMES],
    indirect=True,
)
def test_core_exports_and_computes_the_same(network: Separator) -> None:
    features = core_inputs(network)
    program = torch.export.export(network.core, features)
    expected = network.core(*features)
    torch.testing.assert_close(program.module()(*features), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("name", "size"), DOCUMENTED)
def test_parameter_counts_are_as_documented(name: str, size: Documented) -> None:
    with torch.device("meta"):
        network = registry.architecture(name)(*size.arguments, **size.options)
    assert network.parameter_count() == size.parameters


@pytest.mark.parametrize("name", NAMES)
def test_the_default_size_is_documented_first(name: str) -> None:
    """The list of architectures shows it without building any network."""
    kind = registry.architecture(name)
    size = documented(name, kind.documented_parameters)[0]
    assert size.parameters == kind.documented_parameters
    assert kind.Config(*size.arguments, **size.options) == kind.Config()


@pytest.mark.parametrize("name", NAMES)
def test_the_registry_knows_the_role(name: str) -> None:
    """Property: the role known without torch equals that of the class."""
    assert registry.role(name) == registry.architecture(name).role


def core_inputs(network: Separator) -> tuple[Tensor, ...]:
    """The inputs that a network passes to its core."""
    calls: list[tuple[Tensor, ...]] = []
    kind = type(network.core)

    def record(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if isinstance(module, kind):
            calls.append(tuple(each.detach() for each in inputs))

    handle = register_module_forward_pre_hook(record)
    network(wave(1, network.channels, 900))
    handle.remove()
    return calls[0]


SHORTER = {name: {"segment": 16_000} for name in ("melroformer", "melrnn", "melunet")}
"""Architectures whose small networks have segments of 25 s."""


@pytest.mark.parametrize("name", NAMES)
def test_the_layer_tree_without_weights_matches_the_network(name: str) -> None:
    """``stem models info`` shows the output shapes of all layers without allocating memory."""
    network = small(name, **SHORTER.get(name, {}))
    shapes: dict[nn.Module, torch.Size] = {}

    def record(module: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor):
            shapes.setdefault(module, output.shape)

    for module in network.modules():
        module.register_forward_hook(record)
    network(wave(1, network.channels, network.segment))
    tree = layer_tree(build_on_meta(registry.name_of(network), network.config.to_dict()))
    assert tree.shape == shapes[network]
    assert tree.parameters == network.parameter_count()
    assert {part.shape for part in parts_below(tree)} >= {
        tuple(shapes[child]) for child in network.children() if child in shapes
    }
    assert len([*parts_below(tree)]) > 3


def parts_below(part: LayerInfo) -> Iterator[LayerInfo]:
    for child in part.parts:
        yield child
        yield from parts_below(child)


def test_blocks_hold_every_parameter(network: Separator) -> None:
    blocks = [parameter for block in network.blocks() for parameter in block.parameters()]
    assert {*map(id, blocks)} == {*map(id, network.parameters())}
    assert len([*network.blocks()]) > 1
