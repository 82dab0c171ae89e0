"""Configuration of a separation model: four sections of a JSON file."""

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
"""Registry names of the networks in the config."""


@dataclass(frozen=True)
class ModelParams(Config):
    """Network settings.

    Attributes:
        model_type: class of the network.
        model_name: prefix of its file names.
        save_dir: parent folder of ``checkpoint``, which has its files.
        normalize_input: learn to normalize the input.
        normalize_output: learn to shift and scale every frequency of the output.
        mask_activation: activation of the mask.
        hidden_channels: features of the outermost level.
        dropout_p: dropout probability.
        leak_factor: negative slope of leaky ReLUs; 0 selects SELU.
        num_levels: number of downsampling levels.
        recurrent_depth: number of stacked LSTMs; None for the network's default.
        hidden_size: maximum features of an LSTM; None for the network's default.
        input_axis: 0 for LSTMs along time, 1 along frequency; None for the network's default.
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
        """List contradictions between values."""
        given = ", ".join(self.of_lstm)
        simple = self.model_type == "SpectrogramNetSimple"
        return broken(
            {
                "model_name must be a name, without folders": (
                    not self.model_name or Path(self.model_name).name != self.model_name
                ),
                f"SpectrogramNetSimple has no LSTMs: leave out {given}": simple and bool(given),
            }
        )

    @property
    def of_lstm(self) -> dict[str, int]:
        """Options of LSTMs that are set."""
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
    """Audio settings.

    Attributes:
        targets: names of the stems.
        max_num_tracks: for programs that read data; not used here.
        max_num_samples: for programs that read data; not used here.
        num_channels: 1 processes each channel separately, 2 left and right together.
        sample_length: length of a clip, in s.
        sample_rate: sample rate in Hz.
        num_fft: length of the STFT window, in samples.
        window_size: must equal ``num_fft``.
        hop_length: hop between two frames, in samples.
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
        """List contradictions between values."""
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

        Clips are padded to the next multiple of the hop, and by a full hop if they already are one.
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
    """Training settings.

    Attributes:
        training_mode: start in training mode, and also load optimizer and schedule if
            ``global_step`` names a checkpoint.
        max_epochs: for the program's loop; not used here.
        last_epoch: for the program's loop; not used here.
        global_step: step of the checkpoint to load; -1 for a new network.
        batch_size: for the program's loop.
        lr: AdamW's learning rate.
        criterion: loss of magnitudes: ``l1``, ``l2``, ``component`` (see
            :func:`~trainers.losses.waveform.component_loss`), or ``kl_div``: ``l2`` plus the KL
            divergence of a VAE.
        use_mixed_precision: compute in float16 with gradient scaling.
        mixed_precision_scale: initial gradient scale.
        alpha_constant: alpha of the component loss.
        beta_constant: beta of the component loss.
        stop_patience: validations without a gain after which the learning rate falls to a tenth.
        max_lr_steps: reductions of the learning rate that end the training.
        silent_checkpoint: without effect; files are always written silently.
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
        """List invalid values."""
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
        """Optimizer settings: torch's AdamW with the training loop's gradient clipping."""
        return OptimizerRecipe(lr=self.lr, betas=(0.9, 0.999))

    @property
    def schedule(self) -> ScheduleRecipe:
        """Schedule and stopping criteria."""
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
    """All sections of the configuration.

    Attributes:
        model_params: network settings.
        dataset_params: audio settings.
        training_params: training settings.
        visualizer_params: for programs that draw; not used here.
    """

    model_params: ModelParams
    dataset_params: DatasetParams = field(default_factory=DatasetParams)
    training_params: TrainingParams = field(default_factory=TrainingParams)
    visualizer_params: dict[str, Any] = field(default_factory=dict)

    def mistakes(self) -> list[str]:
        """List contradictions between sections."""
        name = self.model_params.model_type
        needs_vae = self.training_params.criterion == "kl_div" and name != "SpectrogramNetVAE"
        found = f"criterion='kl_div' needs model_type='SpectrogramNetVAE', found {name!r}"
        return broken({found: needs_vae})

    @property
    def architecture(self) -> str:
        """Registry name of the network."""
        return ARCHITECTURES[self.model_params.model_type]

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of the architecture."""
        return {**self.dataset_params.options, **self.model_params.options}


def load_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the configuration of a model from a JSON file.

    Raises:
        ConfigError: the file cannot be read, is not JSON or has errors; all of them are reported.
    """
    try:
        values = parse_json(read_text(Path(path)))
    except OSError as error:
        raise ConfigError(str(path), [f"it cannot be read ({error.strerror})"]) from error
    except ValueError as error:  # not JSON, or not text
        raise ConfigError(str(path), [f"it is not JSON: {error}"]) from error
    if not isinstance(values, dict):
        raise ConfigError(str(path), ["it must be an object with the section model_params"])
    try:
        SeparationConfig.from_dict(values)
    except ConfigError as error:
        raise ConfigError(str(path), error.mistakes) from error
    return values
