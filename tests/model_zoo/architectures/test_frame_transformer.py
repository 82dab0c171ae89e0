"""The frame transformers. Reference: their description (``003_ee726a122062c7ff.txt``), step by
step over the parts, and the parameter counts it states; properties of magnitude and phase."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model_zoo import registry
from model_zoo.architectures.frame_transformer import FrameTransformer, PhasePredictor
from model_zoo.architectures.vq_frame_transformer import (
    VQFrameTransformer,
    VQFrameTransformerSeparator,
)
from model_zoo.blocks.frame_attention import (
    FrameDecoder,
    FrameEncoder,
    FrameTransformerDecoder,
    FrameTransformerEncoder,
    FrameUpsampler,
)
from model_zoo.errors import ConfigError
from tests.model_zoo.blocks.weights import fill, pattern
from trainers.loop.execution import checkpoint_blocks

SIZES: dict[str, Any] = {"channels": 2, "multipliers": (1, 2, 3), "num_heads": (4, 2)}
SPECTRAL = {"window_size": 64, "hop_size": 16, "sample_rate": 8000, "segment": 4096}
NAMES = ["frame_transformer", "phase_predictor", "vq_frame_transformer"]
MIXTURE = pattern(2, 2, 555)


def separator(name: str, **options: object) -> Any:
    return fill(registry.build(name, {**SIZES, **SPECTRAL, **options}), size=0.2)


def spectrum(wave: Tensor) -> Tensor:
    flat = wave.flatten(0, 1)
    stft = torch.stft(flat, 64, 16, window=torch.hann_window(64), return_complex=True)
    return stft.unflatten(0, wave.shape[:2])


def waveform(spectra: Tensor) -> Tensor:
    window = torch.hann_window(64)
    waves = torch.istft(spectra.flatten(0, 1), 64, 16, window=window, length=555)
    return waves.unflatten(0, spectra.shape[:2])


def normalized_magnitudes(spectra: Tensor) -> Tensor:
    """Magnitudes scaled to [-1, 1]; a periodic Hann window of 64 adds up to 32."""
    return 2 * (spectra[..., :32, :].abs() * 2 / 32).clamp(0, 1) - 1


@pytest.mark.parametrize(
    ("network", "arguments", "parameters"),
    [
        (FrameTransformer, {}, 357_493_618),
        (
            FrameTransformer,
            {"multipliers": (1, 2, 4, 6, 8, 10), "num_heads": (4,)},
            353_026_426,
        ),
        (
            FrameTransformer,
            {
                **{"channels": 2, "n_fft": 256, "num_heads": (4,)},
                "multipliers": (1, 2, 4, 6, 8, 10),
            },
            2_803_939,
        ),
        (PhasePredictor, {}, 357_493_618),
        (VQFrameTransformer, {}, 275_487_172),
    ],
)
def test_number_of_parameters(network: Any, arguments: dict[str, Any], parameters: int) -> None:
    with torch.device("meta"):
        built = network(**arguments)
    assert sum(weight.numel() for weight in built.parameters()) == parameters


def test_each_class_of_the_description() -> None:
    """Runs each module that ``003_ee726a122062c7ff.txt`` describes, under its name there."""
    from model_zoo.architectures.frame_transformer import FrameTransformer
    from model_zoo.blocks.frame_attention import (
        FrameDecoder,
        FrameEncoder,
        FrameNorm,
        FrameTransformerDecoder,
        FrameTransformerEncoder,
        MultichannelLinear,
        MultichannelMultiheadAttention,
    )

    x = pattern(1, 2, 32, 10)
    # "applies layer norm to each frame of each channel with shared affine transform"
    normed = FrameNorm(32)(x)
    torch.testing.assert_close(normed.mean(2), torch.zeros(1, 2, 10), atol=1e-6, rtol=0)
    # "instead of having individual linear layers": 3 channels of 16 bins out of 2 of 32
    assert MultichannelLinear(2, 3, 32, 16)(x).shape == (1, 3, 16, 10)
    # "an extension of multihead attention for multiple channels"
    assert MultichannelMultiheadAttention(2, 4, 32)(x).shape == x.shape
    # "encoders defined as frame_transformer_encoder(frame_encoder(x))"
    frame_encoder, frame_transformer_encoder = (
        FrameEncoder(2, 4, 32),
        FrameTransformerEncoder(4, 16, 2),
    )
    deep = frame_transformer_encoder(frame_encoder(x))
    assert deep.shape == (1, 4, 16, 10)
    # "decoders defined as frame_transformer_decoder(frame_decoder(x, skip))"
    frame_decoder, frame_transformer_decoder = (
        FrameDecoder(4, 2, 32),
        FrameTransformerDecoder(2, 32, 4),
    )
    assert frame_transformer_decoder(frame_decoder(deep, x), x).shape == x.shape
    # "The core of the neural network": the output has the same shape
    network = FrameTransformer(channels=2, n_fft=64, multipliers=(1, 2), num_heads=(4, 2))
    assert network(x).shape == x.shape


def test_frame_encoder_matches_its_definition() -> None:
    block, x = fill(FrameEncoder(2, 3, 16)), pattern(1, 2, 16, 5)
    norm, first, _, second, _ = block.body
    expected = block.identity(x) + second(F.gelu(first(norm(x))))
    assert expected.shape == (1, 3, 8, 5)
    torch.testing.assert_close(block(x), expected)


def test_the_first_level_keeps_its_bins() -> None:
    block = FrameEncoder(2, 3, 16, downsample=False)
    assert block.identity.weight_pw is None
    assert block(pattern(1, 2, 16, 5)).shape == (1, 3, 16, 5)


def test_frame_decoder_matches_its_definition() -> None:
    block, x, skip = fill(FrameDecoder(3, 2, 16)), pattern(1, 3, 8, 5), pattern(1, 2, 16, 5)
    up = block.upsampler
    norm, first, _, second, _ = up.body
    raised = up.identity(x) + second(F.gelu(first(norm(x))))
    norm, first, _, second = block.merge
    expected = raised + second(F.gelu(first(norm(torch.cat([raised, skip], 1)))))
    torch.testing.assert_close(block(x, skip), expected)


def squared_mlp(block: FrameTransformerEncoder | FrameTransformerDecoder, x: Tensor) -> Tensor:
    norm, first, _, second = block.mlp
    return second(F.relu(first(norm(x))) ** 2)


def test_transformer_encoder_matches_its_definition() -> None:
    block, x = fill(FrameTransformerEncoder(2, 16, 2, expansion=3)), pattern(1, 2, 16, 5)
    assert block.mlp[1].weight_pw.shape == (2, 48, 16)
    mixed = x + block.attn(block.norm1(x))
    torch.testing.assert_close(block(x), mixed + squared_mlp(block, mixed))


def test_transformer_decoder_does_not_normalize_the_memory() -> None:
    block, x, memory = (
        fill(FrameTransformerDecoder(2, 16, 2)),
        pattern(1, 2, 16, 5),
        9 * pattern(1, 2, 16, 5, phase=1.0),
    )
    mixed = x + block.attn1(block.norm1(x))
    mixed = mixed + block.attn2(block.norm2(mixed), memory)
    torch.testing.assert_close(block(x, memory), mixed + squared_mlp(block, mixed))


def test_the_network_matches_its_definition() -> None:
    network = fill(FrameTransformer(**SIZES, n_fft=64), size=0.2)
    x = pattern(1, 2, 32, 6)
    one = network.transformers[0](network.encoders[0](x))
    two = network.transformers[1](network.encoders[1](one))
    three = network.transformers[2](network.encoders[2](two))
    assert [level.shape[1:3] for level in (one, two, three)] == [(2, 32), (4, 16), (6, 8)]
    up = network.decoder_transformers[0](network.decoders[0](three, two), two)
    up = network.decoder_transformers[1](network.decoders[1](up, one), one)
    expected = torch.einsum("oc,bcft->boft", network.out.weight_dw, up)
    torch.testing.assert_close(network(x), expected)


def test_the_last_number_of_heads_is_repeated() -> None:
    network = FrameTransformer(channels=1, n_fft=256, multipliers=(1, 1, 1, 1), num_heads=(8, 4))
    assert [level.num_heads for level in network.levels] == [8, 4, 4, 4]


@pytest.mark.parametrize("name", NAMES)
def test_a_full_scale_sine_has_feature_1(name: str) -> None:
    net, time = separator(name), torch.arange(1600)
    sine = torch.sin(2 * math.pi * 8 * time / 64).expand(1, 2, -1)
    features = net.fourier.features(net.fourier.analyze(sine))
    torch.testing.assert_close(features[..., 8, 10:-10], torch.ones(1, 2, 81), atol=1e-4, rtol=0)
    silent = net.fourier.features(net.fourier.analyze(0 * sine))
    assert torch.equal(silent, -torch.ones_like(silent))
    features = net.fourier.features(spectrum(MIXTURE))
    torch.testing.assert_close(features, normalized_magnitudes(spectrum(MIXTURE)))


def test_masks_are_sigmoids_and_nyquist_is_silent() -> None:
    net, stems = separator("frame_transformer", stems=("vocals", "drums")), 2
    mixture_spectrum = spectrum(MIXTURE)
    with torch.no_grad():
        masks = torch.sigmoid(net.network(normalized_magnitudes(mixture_spectrum)))
        assert masks.shape[1] == 2 * stems
        for stem in range(stems):
            part = mixture_spectrum.clone()
            part[..., :32, :] *= masks[:, 2 * stem : 2 * stem + 2]
            part[..., 32, :] = 0
            torch.testing.assert_close(net(MIXTURE)[:, stem], waveform(part), atol=1e-5, rtol=1e-4)


def test_a_phase_keeps_the_magnitudes() -> None:
    net, mixture_spectrum = separator("phase_predictor"), spectrum(MIXTURE)
    with torch.no_grad():
        angles = net.network(normalized_magnitudes(mixture_spectrum))
        output = net.fourier.apply_output(mixture_spectrum, angles)[:, 0]
    assert angles.abs().max() < 1
    torch.testing.assert_close(output.abs(), mixture_spectrum.abs(), atol=1e-6, rtol=1e-6)
    assert torch.equal(output[..., [0, 32], :], mixture_spectrum[..., [0, 32], :])
    turned = output[..., 1:32, :] / mixture_spectrum[..., 1:32, :].abs()
    expected = torch.exp(1j * math.pi * angles[..., 1:, :])
    torch.testing.assert_close(turned, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("level", [-0.5, 0.5])
def test_the_mean_of_a_wave_ignores_the_angle_of_dc(level: float) -> None:
    """With the true angles in all other bins, the output is the wave; DC has no angle."""
    net, wave = separator("phase_predictor"), level + 0.1 * MIXTURE
    mixture_spectrum = spectrum(wave)
    angles = mixture_spectrum[..., :32, :].angle() / math.pi
    angles[..., 0, :] = 0.5
    output = net.fourier.apply_output(mixture_spectrum, angles)[:, 0]
    torch.testing.assert_close(waveform(output), wave, atol=1e-5, rtol=1e-5)


def test_a_phase_network_is_the_tanh_of_the_transformer() -> None:
    plain, phase = FrameTransformer(**SIZES, n_fft=64), PhasePredictor(**SIZES, n_fft=64)
    phase.load_state_dict(fill(plain).state_dict())
    x = pattern(1, 2, 32, 6)
    torch.testing.assert_close(phase.eval()(x), torch.tanh(plain(x)))


def test_the_decoder_sees_only_the_codes() -> None:
    network = fill(VQFrameTransformer(**SIZES, n_fft=64, num_embeddings=5), size=0.2)
    assert all(isinstance(part, FrameUpsampler) for part in network.upsamplers)
    x = pattern(1, 2, 32, 6)
    quantized, _, indices = network.quantiser(network.descend(x)[-1])
    codes = network.quantiser.embedding.weight[indices].unflatten(-1, (6, 8)).permute(0, 2, 3, 1)
    torch.testing.assert_close(quantized, codes)
    up = network.upper_transformers[0](network.upsamplers[0](codes))
    up = network.upper_transformers[1](network.upsamplers[1](up))
    torch.testing.assert_close(network(x), network.out(up))
    near = x + 1e-4 * pattern(1, 2, 32, 6, phase=1.0)
    torch.testing.assert_close(network(near), network(x))


def test_codes_give_the_magnitude_and_the_mixture_the_phase() -> None:
    net, mixture_spectrum = separator("vq_frame_transformer", num_embeddings=5), spectrum(MIXTURE)
    with torch.no_grad():
        numbers = net.network(normalized_magnitudes(mixture_spectrum))
        output = net.fourier.apply_output(mixture_spectrum, numbers)[:, 0]
    expected = numbers.square() * 16  # 16 is the magnitude of a full-scale sine
    torch.testing.assert_close(output[..., :32, :].abs(), expected, atol=1e-5, rtol=1e-5)
    assert (output[..., 32, :] == 0).all()
    aligned = output[..., :32, :] * mixture_spectrum[..., :32, :].conj()
    torch.testing.assert_close(aligned.real, aligned.abs(), atol=1e-4, rtol=1e-4)


def test_auxiliary_losses_are_those_of_the_codebook() -> None:
    net = separator("vq_frame_transformer", num_embeddings=5, dropout=0.0).train()
    net(MIXTURE)
    assert isinstance(net, VQFrameTransformerSeparator)
    deep = net.network.descend(normalized_magnitudes(spectrum(MIXTURE)))[-1]
    expected = net.network.quantiser.eval()(deep).losses
    torch.testing.assert_close(net.auxiliary_losses(), expected)


def test_checkpointed_blocks_update_the_codebook_once() -> None:
    plain, checkpointed = (
        separator("vq_frame_transformer", num_embeddings=5, dropout=0.0, patience=1).train()
        for _ in range(2)
    )
    checkpoint_blocks(checkpointed)
    for net in (plain, checkpointed):
        for _ in range(3):
            torch.manual_seed(0)
            stems = net(MIXTURE)
            torch.stack([stems.square().sum(), *net.auxiliary_losses().values()]).sum().backward()
            net.after_optimizer_step()
    state = plain.state_dict()
    for name, value in checkpointed.state_dict().items():
        assert torch.equal(value, state[name]), name
    for one, other in zip(plain.parameters(), checkpointed.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"window_size": 100}, "window_size must be a multiple of 8 for 3 levels of multipliers"),
        ({"multipliers": ()}, "multipliers must list one number of 1 or more per level"),
        ({"multipliers": (1, 0)}, "multipliers must list one number of 1 or more per level"),
        ({"num_heads": ()}, "num_heads must list numbers of 1 or more"),
        ({"num_heads": (4, 3)}, "level 2 has 16 bins, which 3 heads cannot share evenly"),
        ({"num_heads": (4, 4)}, "level 3 has 8 bins, which 4 heads cannot share evenly with 4"),
        ({"in_channels": 3}, "in_channels must be 1 or 2"),
        ({"dropout": 1.0}, "dropout must be 0 or more and below 1"),
        ({"channels": 0}, "channels must be at least 1, found 0"),
    ],
)
def test_invalid_options_are_refused(name: str, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        separator(name, **options)


@pytest.mark.parametrize("name", ["phase_predictor", "vq_frame_transformer"])
def test_networks_for_one_sound_refuse_several_stems(name: str) -> None:
    with pytest.raises(ConfigError, match="stems must name one sound"):
        separator(name, stems=("vocals", "drums"))


def test_the_commitment_weight_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="beta must be above 0"):
        separator("vq_frame_transformer", beta=0.0)
