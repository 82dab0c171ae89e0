"""What a separation model is told: four sections of a JSON file."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from model_zoo.config import Config, broken
from model_zoo.errors import ConfigError
from model_zoo.parsing import parse_json, read_text
from trainers.config import OptimizerRecipe, ScheduleRecipe

ARCHITECTURES = {
    "SpectrogramNetSimple": "spectrogram_net_simple",
    "SpectrogramNetLSTM": "spectrogram_net_lstm",
    "SpectrogramNetVAE": "spectrogram_net_vae",
}
"""Names of the registry behind those of the config."""


@dataclass(frozen=True)
class ModelParams(Config):
    """The network.

    Attributes:
        model_type: its class.
        model_name: how its files begin.
        save_dir: folder in which ``checkpoint`` holds them.
        normalize_input: learn to normalize its input.
        normalize_output: learn to move and scale every frequency of its output.
        mask_activation: its last activation.
        hidden_channels: features of its outermost level.
        dropout_p: chance that a feature is left out in training.
        leak_factor: slope of leaky rectifiers below zero; 0 takes SELU.
        num_levels: halvings.
        recurrent_depth: stacked LSTMs; the network's own number where none is given.
        hidden_size: most features of an LSTM; likewise.
        input_axis: 0 for LSTMs along time, 1 along frequency; likewise.
    """

    model_type: Literal["SpectrogramNetSimple", "SpectrogramNetLSTM", "SpectrogramNetVAE"]
    model_name: str
    save_dir: str
    normalize_input: bool = False
    normalize_output: bool = False
    mask_activation: str = "sigmoid"
    hidden_channels: int = 16
    dropout_p: float = 0.5
    leak_factor: float = 0.0
    num_levels: int = 6
    recurrent_depth: int | None = None
    hidden_size: int | None = None
    input_axis: int | None = None

    def mistakes(self) -> list[str]:
        """Contradictions between the values."""
        given = ", ".join(self.of_lstm)
        simple = self.model_type == "SpectrogramNetSimple"
        return broken(
            {
                "model_name must be a name, without folders": (
                    not self.model_name or Path(self.model_name).name != self.model_name
                ),
                f"SpectrogramNetSimple has no LSTMs, leave out {given}": simple and bool(given),
            }
        )

    @property
    def of_lstm(self) -> dict[str, int]:
        """What is said of LSTMs."""
        values = {
            "recurrent_depth": self.recurrent_depth,
            "hidden_size": self.hidden_size,
            "input_axis": self.input_axis,
        }
        return {name: value for name, value in values.items() if value is not None}

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of the network."""
        same = ("normalize_input", "normalize_output", "hidden_channels", "dropout_p")
        return {
            **{name: getattr(self, name) for name in (*same, "leak_factor", "num_levels")},
            "mask_act_fn": self.mask_activation,
            **self.of_lstm,
        }


@dataclass(frozen=True)
class DatasetParams(Config):
    """The sound.

    Attributes:
        targets: names of the stems.
        max_num_tracks: for programs that read data; not used here.
        max_num_samples: likewise.
        num_channels: 1 hears every channel on its own, 2 left and right together.
        sample_length: of a clip, in s.
        sample_rate: in Hz.
        num_fft: samples of the STFT window.
        window_size: the same.
        hop_length: samples between two frames.
    """

    targets: tuple[str, ...] = ("vocals",)
    max_num_tracks: int | None = None
    max_num_samples: int | None = None
    num_channels: int = 1
    sample_length: float = 3.0
    sample_rate: int = 44_100
    num_fft: int = 1024
    window_size: int = 1024
    hop_length: int = 512

    def mistakes(self) -> list[str]:
        """Contradictions between the values."""
        return broken(
            {
                "sample_rate and hop_length must be 1 or more": (
                    min(self.sample_rate, self.hop_length) < 1
                ),
                "sample_length must be above 0 s": self.sample_length <= 0,
                f"num_fft must be a multiple of 4, found {self.num_fft}": (
                    self.num_fft < 4 or self.num_fft % 4 > 0
                ),
                f"window_size must be num_fft={self.num_fft}, found {self.window_size}": (
                    self.window_size != self.num_fft
                ),
            }
        )

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of the network.

        A clip is filled up to the next multiple of the hop, by a whole hop where it is one.
        """
        hops = round(self.sample_rate * self.sample_length) // self.hop_length + 1
        return {
            "num_fft_bins": self.num_fft // 2 + 1,
            "num_frames": hops + 1,
            "num_channels": self.num_channels,
            "hop_size": self.hop_length,
            "sample_rate": self.sample_rate,
            "stems": self.targets,
        }


@dataclass(frozen=True)
class TrainingParams(Config):
    """Learning.

    Attributes:
        training_mode: begin in training mode, and go on with optimizer and schedule where
            ``global_step`` names files.
        max_epochs: for the program's loop; not used here.
        last_epoch: likewise.
        global_step: of the files to begin with; -1 begins anew.
        batch_size: for the program's loop.
        lr: AdamW's learning rate.
        criterion: of magnitudes: ``l1``, ``l2``, ``component`` (see
            :func:`~trainers.losses.waveform.component_loss`), or ``kl_div``: ``l2`` and the
            divergence of a VAE.
        use_mixed_precision: compute in float16 and scale gradients.
        mixed_precision_scale: by how much at first.
        alpha_constant: of the component loss.
        beta_constant: of the component loss.
        stop_patience: validations without a gain after which the learning rate falls to a tenth.
        max_lr_steps: such falls that end the training.
        silent_checkpoint: files are written without a word in any case.
    """

    training_mode: bool = True
    max_epochs: int = 100
    last_epoch: int = -1
    global_step: int = -1
    batch_size: int = 32
    lr: float = 0.008
    criterion: Literal["component", "kl_div", "l1", "l2"] = "l2"
    use_mixed_precision: bool = False
    mixed_precision_scale: float = 2.0
    alpha_constant: float = 0.5
    beta_constant: float = 0.0
    stop_patience: int = 10
    max_lr_steps: int = 5
    silent_checkpoint: bool = False

    def mistakes(self) -> list[str]:
        """Values that cannot be used."""
        return broken(
            {
                "lr and mixed_precision_scale must be above 0": (
                    min(self.lr, self.mixed_precision_scale) <= 0
                ),
                "alpha_constant and beta_constant must be 0 or more": (
                    min(self.alpha_constant, self.beta_constant) < 0
                ),
                "stop_patience and max_lr_steps must be 1 or more": (
                    min(self.stop_patience, self.max_lr_steps) < 1
                ),
            }
        )

    @property
    def optimizer(self) -> OptimizerRecipe:
        """How weights move: AdamW as torch has it, with the loop's clipping of gradients."""
        return OptimizerRecipe(lr=self.lr, betas=(0.9, 0.999))

    @property
    def schedule(self) -> ScheduleRecipe:
        """How fast, and until when."""
        return ScheduleRecipe(
            warmup=0,
            shape="plateau",
            factor=0.1,
            patience=self.stop_patience,
            max_reductions=self.max_lr_steps,
            min_delta=0.0,
        )


@dataclass(frozen=True)
class SeparationConfig(Config):
    """All sections.

    Attributes:
        model_params: the network.
        dataset_params: the sound.
        training_params: learning.
        visualizer_params: for programs that draw; not used here.
    """

    model_params: ModelParams
    dataset_params: DatasetParams = field(default_factory=DatasetParams)
    training_params: TrainingParams = field(default_factory=TrainingParams)
    visualizer_params: dict[str, Any] = field(default_factory=dict)

    def mistakes(self) -> list[str]:
        """Contradictions between the sections."""
        name = self.model_params.model_type
        needs_vae = self.training_params.criterion == "kl_div" and name != "SpectrogramNetVAE"
        found = f"criterion='kl_div' needs model_type='SpectrogramNetVAE', found {name!r}"
        return broken({found: needs_vae})

    @property
    def architecture(self) -> str:
        """Name of the network in the registry."""
        return ARCHITECTURES[self.model_params.model_type]

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of that architecture."""
        return {**self.dataset_params.options, **self.model_params.options}


def load_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the config of a model from a JSON file.

    Raises:
        ConfigError: the file cannot be read, is no JSON or has mistakes; all of them are named.
    """
    try:
        values = parse_json(read_text(Path(path)))
    except OSError as error:
        raise ConfigError(str(path), [f"it cannot be read ({error.strerror})"]) from error
    except ValueError as error:  # no JSON, or no text at all
        raise ConfigError(str(path), [f"it is no JSON: {error}"]) from error
    if not isinstance(values, dict):
        raise ConfigError(str(path), ["it must be an object with the section model_params"])
    try:
        SeparationConfig.from_dict(values)
    except ConfigError as error:
        raise ConfigError(str(path), error.mistakes) from error
    return values
