"""Parts of hybrid networks. Reference: definitions as loops, laws, and values worked by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from model_zoo.blocks.cross_transformer import SequenceNorm, line_embedding, plane_embedding
from model_zoo.blocks.dconv import ChunkedLSTM, DConv, LayerScale, LocalAttention
from model_zoo.blocks.hybrid import (
    DecoderLevel,
    EncoderLevel,
    FrequencyEmbedding,
    HybridFourier,
    LevelOptions,
    rescale,
    standardize,
    to_planes,
    to_spectra,
)
from model_zoo.blocks.hybrid_bands import (
    BANDED,
    BandedDecoderLevel,
    BandedEncoderLevel,
    decoder_edges,
    encoder_edges,
)
from model_zoo.ops.spectra import reflected
from tests.model_zoo.blocks.weights import fill, pattern

CPU = torch.device("cpu")
BRANCHES = {"compress": 2, "depth": 2}


def chirp(samples: int) -> Tensor:
    """Two channels that never reach the Nyquist frequency."""
    time = torch.arange(samples) / samples
    return torch.stack([torch.sin(400 * time**2), torch.cos(300 * time)])[None]


def test_a_short_waveform_is_reflected_with_zeros_by_hand() -> None:
    wave = torch.tensor([[[1.0, 2.0]]])
    assert reflected(wave, (3, 4)).tolist() == [[[0, 0, 2, 1, 2, 0, 0, 0, 0]]]
    assert reflected(wave, (1, 1)).tolist() == [[[2, 1, 2, 1]]]


@pytest.mark.parametrize("samples", [640, 641, 655])
def test_a_spectrogram_has_a_frame_per_hop_and_is_invertible(samples: int) -> None:
    """Law: away from the ends, where frames are missing, the inverse gives the waveform back."""
    fourier, wave = HybridFourier(64), chirp(samples)
    spectrum = fourier.analyze(wave)
    assert spectrum.shape == (1, 2, 32, math.ceil(samples / 16))
    inner = slice(32, samples - 48)
    inverse = fourier.synthesize(spectrum[:, None], samples)[:, 0]
    torch.testing.assert_close(inverse[..., inner], wave[..., inner], atol=1e-3, rtol=0)


def test_magnitudes_of_a_cosine_by_hand() -> None:
    """Half of the sum of a Hann window of 64 samples, 32, over the root of 64."""
    wave = torch.cos(2 * torch.pi * 5 * torch.arange(640) / 64).expand(1, 1, -1)
    magnitudes = HybridFourier(64).analyze(wave)[0, 0, :, 10].abs()
    expected = torch.zeros(32)
    expected[4:7] = torch.tensor([1.0, 2.0, 1.0])
    torch.testing.assert_close(magnitudes, expected, atol=1e-4, rtol=0)


def test_the_old_inverse_is_late() -> None:
    """By definition: 3/2 hops of 16 samples; and it sees zeros beyond the ends."""
    old, new, wave = HybridFourier(64, hybrid_old=True), HybridFourier(64), chirp(640)
    spectra = new.analyze(wave)[:, None]
    late, exact = old.synthesize(spectra, 640), new.synthesize(spectra, 640)
    torch.testing.assert_close(late[..., 24:], exact[..., :-24])
    ends = [*range(2), *range(38, 40)]
    same = torch.isclose(old.analyze(wave), new.analyze(wave), atol=1e-5).all(dim=2)[0]
    assert same.all(0).tolist() == [frame not in ends for frame in range(40)]


def test_planes_are_spectra() -> None:
    """Law: what is made of one is made of the other again."""
    spectra = torch.complex(pattern(2, 6, 5, 4), pattern(2, 6, 5, 4, phase=1))
    planes = to_planes(spectra)
    torch.testing.assert_close(planes[:, 5], spectra[:, 2].imag)
    torch.testing.assert_close(to_spectra(planes, 3).flatten(1, 2), spectra)


def test_standardized_items_have_mean_0_and_deviation_1() -> None:
    x = 3 + 5 * pattern(2, 3, 4, 50)
    values, *_ = made = standardize(x)
    torch.testing.assert_close(values.mean((1, 2, 3)), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(values.std((1, 2, 3)), torch.ones(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(made.restore(values), x, atol=1e-3, rtol=1e-4)
    assert standardize(torch.zeros(1, 2, 8)).values.tolist() == torch.zeros(1, 2, 8).tolist()


@pytest.mark.parametrize("ratios", [(0.5,), (0.3, 0.7), (0.2, 0.45, 0.8)])
def test_bands_of_equal_weights_are_one_level(ratios: tuple[float, ...]) -> None:
    """Law: bands overlap such that equal weights do what a level without bands does."""
    options = LevelOptions("freq", sees_neighbours=False, dconv=BRANCHES)
    banded = LevelOptions(**{**vars(BANDED), "dconv": BRANCHES})
    down, up = EncoderLevel(4, 6, options), DecoderLevel(4, 6, options, is_last=False)
    downs = BandedEncoderLevel(4, 6, banded, ratios)
    ups = BandedDecoderLevel(4, 6, banded, ratios, is_last=False)
    for one, many in ((down, downs), (up, ups)):
        fill(one, size=0.5)
        for layer in many.layers:
            layer.load_state_dict(one.state_dict())
    plane = pattern(2, 4, 128, 5)
    torch.testing.assert_close(downs(plane), down(plane), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ups(plane)[0], up(plane)[0], atol=1e-5, rtol=1e-5)


def test_edges_of_bands_by_hand() -> None:
    """Half of 128 bins: (64 - 2) / 4 is 15.5 kernels, rounded to an even number."""
    assert encoder_edges(128, [0.5]) == [0, 16, 32]
    assert decoder_edges(32, [0.3, 0.7]) == [0, 10, 22, 32]


def test_a_level_along_time_is_padded_to_its_stride() -> None:
    """By hand: 9 and 12 samples give 3 steps; the decoder gives as many samples as it is told."""
    options = LevelOptions("time")
    down, up = EncoderLevel(2, 4, options), DecoderLevel(4, 2, options, is_last=True)
    wave = torch.cat([pattern(1, 2, 9), torch.zeros(1, 2, 3)], dim=-1)
    torch.testing.assert_close(down(wave[..., :9]), down(wave))
    above, features = up(down(wave), 9)
    assert above.shape == (1, 2, 9)
    assert features.shape == (1, 4, 3)


def test_chunks_of_an_lstm() -> None:
    """By definition: of each chunk of 200 frames the middle 100, of the outer ones their ends."""
    lstm, x = fill(ChunkedLSTM(3)), pattern(2, 3, 437)
    padded = torch.cat([x, torch.zeros(2, 3, 200)], dim=-1)
    expected = torch.zeros(2, 3, 500)
    for start in range(0, 401, 100):
        chunk = padded[..., start : start + 200]
        hidden, _ = lstm.lstm(chunk.permute(2, 0, 1))
        made = lstm.linear(hidden).permute(1, 2, 0)
        first = 0 if start == 0 else 50
        expected[..., start + first : start + 200] = made[..., first:][..., : 500 - start - first]
    torch.testing.assert_close(lstm(x), x + expected[..., :437], atol=1e-5, rtol=1e-4)


def test_short_sequences_of_an_lstm_are_one_chunk() -> None:
    lstm, x = fill(ChunkedLSTM(3)), pattern(1, 3, 200)
    hidden, _ = lstm.lstm(x.permute(2, 0, 1))
    torch.testing.assert_close(lstm(x), x + lstm.linear(hidden).permute(1, 2, 0))


def test_local_attention() -> None:
    """The definition (arXiv 2111.03600), written as loops over heads and frames."""
    layer, x = fill(LocalAttention(8), size=0.8), pattern(1, 8, 6)
    query, key, content = (
        conv(x)[0].unflatten(0, (4, 2)) for conv in (layer.query, layer.key, layer.content)
    )
    rates = layer.query_decay(x)[0].sigmoid().unflatten(0, (4, 4)) / 2
    attended = torch.zeros(8, 6)
    for head in range(4):
        for frame in range(6):
            scores = torch.stack(
                [query[head, :, frame] @ key[head, :, other] for other in range(6)]
            )
            decay = sum((rate + 1) * rates[head, rate, frame] for rate in range(4)) / math.sqrt(4)
            distance = (torch.arange(6) - frame).abs()
            scores = scores / math.sqrt(2) - decay * distance
            scores[frame] = -100
            attended[2 * head : 2 * head + 2, frame] = content[head] @ scores.softmax(0)
    torch.testing.assert_close(layer(x), x + layer.proj(attended[None]), atol=1e-5, rtol=1e-4)


def test_a_frame_without_others_attends_to_itself() -> None:
    layer, x = fill(LocalAttention(4)), pattern(1, 4, 1)
    torch.testing.assert_close(layer(x), x + layer.proj(layer.content(x)))


def test_residual_branches_look_further_and_further() -> None:
    """By hand: kernels of 3 frames, 1 and 2 apart, reach 3 frames in each direction.

    Beyond that, an impulse changes only the statistics that frames are normalized by, here none.
    """
    branches = fill(DConv(4, 2))
    for name, part in [*branches.named_modules()]:
        if isinstance(part, nn.GroupNorm):
            branches.set_submodule(name, nn.Identity())
    impulse = torch.zeros(1, 4, 21)
    impulse[..., 10] = 1
    reached = (branches(impulse) - branches(torch.zeros(1, 4, 21))).abs().sum((0, 1)) > 1e-6
    assert reached.nonzero().flatten().tolist() == [*range(7, 14)]


def test_layer_scale() -> None:
    x = torch.ones(1, 2, 2)
    scale = LayerScale(2, 0.0)
    last = LayerScale(2, 0.0, features_last=True)
    for layer in (scale, last):
        layer.load_state_dict({"scale": torch.tensor([2.0, 3.0])})
    assert scale(x).tolist() == [[[2, 2], [3, 3]]]
    assert last(x).tolist() == [[[2, 3], [2, 3]]]


def test_frequency_embedding() -> None:
    """By hand: stored divided by 10, weighted by 0.2; adjacent bins start alike."""
    torch.manual_seed(0)
    embedding = FrequencyEmbedding(400, 3, 0.2)
    rows = embedding.embedding.weight.detach()
    torch.testing.assert_close(
        embedding(torch.ones(1, 3, 400, 2))[0, :, :, 1], 1 + 0.2 * 10 * rows.T
    )
    steps = (rows[200:] - rows[199:-1]).std() / rows[200:].std()
    assert steps < 0.2
    assert 0.03 < rows.std() < 0.3


def test_initial_weights_are_brought_closer_to_a_deviation() -> None:
    """By hand: a deviation of 0.4 is 4 times 0.1, so that weights are divided by 2."""
    conv = nn.Conv1d(8, 8, 3)
    with torch.no_grad():
        conv.weight.copy_(pattern(8, 8, 3))
        conv.weight.mul_(0.4 / conv.weight.std())
        conv.bias.fill_(1.0)
    before = conv.weight.clone()
    rescale(nn.Sequential(conv))
    torch.testing.assert_close(conv.weight, before / 2)
    torch.testing.assert_close(conv.bias, torch.full((8,), 0.5))


def test_embedding_of_positions_on_a_line() -> None:
    """By hand: cosines first; periods of 2 pi and of 2 pi times 10,000."""
    expected = [[1, 1, 0, 0], [math.cos(1), 1, math.sin(1), 1e-4]]
    torch.testing.assert_close(line_embedding(2, 4, CPU), torch.tensor(expected))


def test_embedding_of_positions_on_a_plane() -> None:
    """By hand: sine and cosine of the frame at rates 1 and 1/100, then of the bin."""
    made = plane_embedding(4, 3, 8, CPU)
    frame, freq = 2, 3
    angles = [frame, frame / 100, freq, freq / 100]
    expected = [wave(angle) for angle in angles for wave in (math.sin, math.cos)]
    assert made.shape == (3, 4, 8)
    torch.testing.assert_close(made[frame, freq], torch.tensor(expected))


def test_a_sequence_is_normalized_as_a_whole() -> None:
    made = SequenceNorm(3)(5 + 2 * pattern(2, 40, 3))
    torch.testing.assert_close(made.mean((1, 2)), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(made.var((1, 2), correction=0), torch.ones(2), atol=1e-3, rtol=0)
