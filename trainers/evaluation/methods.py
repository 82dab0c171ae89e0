"""Who makes the estimates: models, and what gives their numbers a scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from model_zoo.errors import UsageError
from model_zoo.ops.spectra import istft, stft
from stemcli.engine.events import EventHandler
from stemcli.engine.options import Options
from stemcli.engine.session import Session
from trainers.evaluation.scoring import ACCOMPANIMENT, VOCALS, Waves, canonical
from trainers.evaluation.tracks import EvaluationTrack, TrackAudio


@runtime_checkable
class Method(Protocol):
    """Something that takes songs apart."""

    @property
    def name(self) -> str:
        """As tables and folders call it."""

    def settings(self, track: EvaluationTrack) -> Mapping[str, Any]:
        """All that decides its estimates of a song, as plain values."""

    def estimate(self, track: EvaluationTrack, sound: TrackAudio) -> Waves:
        """Waveforms by the names of the true stems, as far as it can make them.

        Args:
            track: the song.
            sound: the same in memory.

        Raises:
            StemError: it cannot.
        """


def model_methods(
    models: Sequence[str], how: Mapping[str, Any], on_event: EventHandler | None = None
) -> list[ModelMethod]:
    """A method for each model.

    Args:
        models: names in the zoo, or files.
        how: fields of the engine's options that say how networks run.
        on_event: told what the engine does.

    Raises:
        UsageError: a model is unknown, gives no stems, or two have one name.
        WeightsError: weights cannot be used.
    """
    sessions = [Session(Options(model=(model,), **how), on_event) for model in models]
    names = [session.ensemble.name for session in sessions]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UsageError(
            f"Two models are called {twice}: name each model once, or give a file another name"
            " with stem models add FILE --name NAME"
        )
    return [*map(ModelMethod, names, sessions)]


def oracle_methods() -> list[Method]:
    """What gives scores a scale: the least that makes sense, and about the best."""
    return [MixtureMethod(), RatioMaskMethod()]


class ModelMethod:
    """A network of the zoo, or a file, through the engine that users have.

    Args:
        name: as tables and folders call it.
        session: holds the network.
    """

    def __init__(self, name: str, session: Session) -> None:
        self.name = name
        self._session = session

    def settings(self, track: EvaluationTrack) -> Mapping[str, Any]:
        """Options of the engine, and the network by name and SHA-256."""
        return self._session.settings

    def estimate(self, track: EvaluationTrack, sound: TrackAudio) -> Waves:
        """The network's stems; without an accompaniment among them, it is all but the vocals."""
        wave = sound.mixture.T.numpy()
        made = self._session.separate_array(wave, sound.sample_rate)
        stems = {canonical(name): torch.from_numpy(stem).T for name, stem in made.items()}
        if VOCALS in stems:
            stems.setdefault(ACCOMPANIMENT, sound.mixture - stems[VOCALS])
        return stems


class MixtureMethod:
    """The song itself, taken for each of its stems: what a separator must be better than."""

    name = "mixture"

    def settings(self, track: EvaluationTrack) -> Mapping[str, Any]:
        """None but its name."""
        return {"oracle": self.name}

    def estimate(self, track: EvaluationTrack, sound: TrackAudio) -> Waves:
        """The mixture under every name."""
        return dict.fromkeys(sound.references, sound.mixture)


class RatioMaskMethod:
    """The ideal ratio mask: about what masks on magnitudes of a spectrogram can reach at best.

    ``mask = |S|^2 / sum over stems of |S|^2`` on the spectrogram of the mixture, with Hann windows
    of 2048 samples every 1024: the oracle IRM2 of the Signal Separation Evaluation Campaign (Stöter
    et al. 2018, arXiv 1804.06267). It knows the true stems; no separator does.
    """

    name = "ideal ratio mask"
    points = 2048

    def settings(self, track: EvaluationTrack) -> Mapping[str, Any]:
        """Of the masks."""
        return {"oracle": self.name, "power": 2, "window": self.points}

    def estimate(self, track: EvaluationTrack, sound: TrackAudio) -> Waves:
        """Masked mixtures; the accompaniment is the sum of what is not the vocals."""
        sources = {**sound.references}
        if {*sources} - {VOCALS, ACCOMPANIMENT}:
            sources.pop(ACCOMPANIMENT, None)
        channels = [
            self._masked(mono, [wave[index] for wave in sources.values()])
            for index, mono in enumerate(sound.mixture)
        ]
        made = dict(zip(sources, torch.stack(channels, dim=1), strict=True))
        if ACCOMPANIMENT in sound.references.keys() - sources.keys():
            made[ACCOMPANIMENT] = sum(made[name] for name in sources if name != VOCALS)
        return made

    def _masked(
        self, mixture: Float[Tensor, " time"], sources: Sequence[Float[Tensor, " time"]]
    ) -> Float[Tensor, "stem time"]:
        """One channel.

        Silence is put behind it: what only the edge of the last window reached would be divided by
        next to nothing.
        """
        window, hop = torch.hann_window(self.points), self.points // 2
        spectra = stft(F.pad(torch.stack([mixture, *sources]), (0, self.points)), window, hop)
        powers = spectra[1:].abs().square()
        masks = powers / powers.sum(0).clamp_min(torch.finfo(powers.dtype).tiny)
        return istft(masks * spectra[0], window, hop, len(mixture))
