"""Methods that produce estimates: models, and reference points for their scores."""

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
    """A separation method."""

    @property
    def name(self) -> str:
        """Name in tables and folders."""

    def settings(self, track: EvaluationTrack) -> Mapping[str, Any]:
        """Return everything that affects its estimates of a song, as plain values."""

    def estimate(self, track: EvaluationTrack, sound: TrackAudio) -> Waves:
        """Return estimates of as many true stems as possible, by name.

        Args:
            track: the song.
            sound: its audio.

        Raises:
            StemError: the method failed.
        """


def model_methods(
    models: Sequence[str], how: Mapping[str, Any], on_event: EventHandler | None = None
) -> list[ModelMethod]:
    """Create a method for each model.

    Args:
        models: names of models, or files.
        how: options of the separation.
        on_event: receives the engine's events.

    Raises:
        UsageError: a model is unknown, gives no stems, or two have the same name.
        WeightsError: a model's weights cannot be used.
    """
    sessions = [Session(Options(model=(model,), **how), on_event) for model in models]
    names = [session.networks.name for session in sessions]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UsageError(
            f"Two models are called {twice}. List each model once, or give a file another name:"
            " stem models add FILE --name NAME"
        )
    return [*map(ModelMethod, names, sessions)]


def oracle_methods() -> list[Method]:
    """Return the reference points of scores: a lower bound, and about the upper bound."""
    return [MixtureMethod(), RatioMaskMethod()]


class ModelMethod:
    """A model, run by the separation engine.

    Args:
        name: name in tables and folders.
        session: engine with the model.
    """

    def __init__(self, name: str, session: Session) -> None:
        self.name = name
        self._session = session

    def settings(self, track: EvaluationTrack) -> Mapping[str, Any]:
        """Options of the engine, and the network by name and SHA-256."""
        return self._session.settings

    def estimate(self, track: EvaluationTrack, sound: TrackAudio) -> Waves:
        """Separate the stems; without an accompaniment, it is the mixture minus the vocals."""
        wave = sound.mixture.T.numpy()
        separated = self._session.separate_array(wave, sound.sample_rate)
        stems = {canonical(name): torch.from_numpy(stem).T for name, stem in separated.items()}
        if VOCALS in stems:
            stems.setdefault(ACCOMPANIMENT, sound.mixture - stems[VOCALS])
        return stems


class MixtureMethod:
    """The unprocessed mixture as every stem: the baseline for any separator."""

    name = "mixture"

    def settings(self, track: EvaluationTrack) -> Mapping[str, Any]:
        """Only its name."""
        return {"oracle": self.name}

    def estimate(self, track: EvaluationTrack, sound: TrackAudio) -> Waves:
        """Return the mixture as every stem."""
        return dict.fromkeys(sound.references, sound.mixture)


class RatioMaskMethod:
    """The ideal ratio mask: about the upper bound of masks on spectrogram magnitudes.

    ``mask = |S|^2 / sum over stems of |S|^2`` on the spectrogram of the mixture, with Hann windows
    of 2048 samples every 1024: the oracle IRM2 of the Signal Separation Evaluation Campaign (Stöter
    et al. 2018, arXiv 1804.06267). It uses the true stems.
    """

    name = "ideal ratio mask"
    points = 2048

    def settings(self, track: EvaluationTrack) -> Mapping[str, Any]:
        """Settings of the masks."""
        return {"oracle": self.name, "power": 2, "window": self.points}

    def estimate(self, track: EvaluationTrack, sound: TrackAudio) -> Waves:
        """Mask the mixture; the accompaniment is the sum of all stems but the vocals."""
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
        """Mask one channel.

        Silence is appended: samples that only the edge of the last window covers would be divided
        by almost 0.
        """
        window, hop = torch.hann_window(self.points), self.points // 2
        spectra = stft(F.pad(torch.stack([mixture, *sources]), (0, self.points)), window, hop)
        powers = spectra[1:].abs().square()
        masks = powers / powers.sum(0).clamp_min(torch.finfo(powers.dtype).tiny)
        return istft(masks * spectra[0], window, hop, len(mixture))
