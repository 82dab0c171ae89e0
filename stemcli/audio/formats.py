"""Output formats: bit depths, bit rates, sample rates and channels that each one supports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from model_zoo.config import Config
from model_zoo.errors import ConfigError, EncodeError
from model_zoo.option_names import choices, contradiction, option, setting, subject
from stemcli.audio.info import AudioInfo

DEPTHS = ("auto", "16", "24", "32f")
MP3_BITRATES = (64, 80, 96, 112, 128, 160, 192, 224, 256, 320)  # kbit/s


@dataclass(frozen=True)
class FormatRules:
    """The limits of a format.

    Attributes:
        lossless: whether a bit depth applies.
        has_float: whether one of the bit depths is floating point.
        channels: numbers of channels with an order that all decoders agree on.
        rates: supported sample rates in Hz, ascending; () for any.
        highest_rate: highest sample rate in Hz; None for no limit.
        bitrates: lowest and highest bit rate, in kbit/s; None if the format has none.
        default_bitrate: in kbit/s per channel; None if the quality is used by default.
        qualities: the encoder's scale of variable bit rates, best first; None if it has none.
        default_quality: on that scale.
    """

    lossless: bool = False
    has_float: bool = False
    channels: Sequence[int] = range(1, 9)
    rates: tuple[int, ...] = ()
    highest_rate: int | None = None
    bitrates: tuple[int, int] | None = None
    default_bitrate: int | None = None
    qualities: tuple[float, float] | None = None
    default_quality: float | None = None

    @property
    def has_bitrate(self) -> bool:
        """Whether a bit rate applies."""
        return self.bitrates is not None

    @property
    def has_quality(self) -> bool:
        """Whether a variable bit rate applies."""
        return self.qualities is not None

    def may_be_float(self, depth: str) -> bool:
        """Whether samples of this bit depth may be floating point; ``auto`` is the input's."""
        return self.has_float and depth in ("auto", "32f")

    def nearest_rate(self, sample_rate: int) -> int:
        """The sample rate of the file: the next supported one above, else the highest."""
        if not self.rates:
            return sample_rate
        return next((rate for rate in self.rates if rate >= sample_rate), self.rates[-1])


_MPEG_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
RULES = {
    "wav": FormatRules(lossless=True, has_float=True, channels=range(1, 65536)),
    "flac": FormatRules(lossless=True, highest_rate=655_350),
    "mp3": FormatRules(
        channels=(1, 2),
        rates=_MPEG_RATES,
        bitrates=(64, 320),
        default_bitrate=160,
        qualities=(0, 9),
    ),
    "ogg": FormatRules(
        highest_rate=200_000, bitrates=(32, 500), qualities=(10, 0), default_quality=6
    ),
    "opus": FormatRules(
        # The order of 5 and 7 channels of Opus, and of 7 of AAC, differs by version of ffmpeg.
        channels=(1, 2, 3, 4, 6, 8),
        rates=(8000, 12000, 16000, 24000, 48000),
        bitrates=(6, 510),
        default_bitrate=80,
    ),
    "m4a": FormatRules(
        channels=(1, 2, 3, 4, 5, 6, 8),
        rates=(*_MPEG_RATES, 64000, 88200, 96000),
        bitrates=(16, 512),
        default_bitrate=128,
    ),
}


@dataclass(frozen=True)
class OutputFormat(Config):
    """A file format with its bit depth or bit rate.

    Attributes:
        name: wav, flac, mp3, ogg (Vorbis), opus or m4a (AAC).
        depth: bits per sample of wav and flac: ``"16"``, ``"24"``, ``"32f"`` (floating point, wav
            only) or ``"auto"``, as in the input.
        bitrate: kbit/s of mp3, ogg, opus and m4a.
        quality: on the encoder's own scale of variable bit rates: mp3 0 (best) to 9, ogg 10 (best)
            to 0. Without either, mp3 has 320 kbit/s for stereo, m4a 256, opus 160, ogg quality 6.

    Raises:
        ConfigError: the format does not support these values; lists all mistakes.
    """

    name: str = "wav"
    depth: str = "auto"
    bitrate: int | None = None
    quality: float | None = None

    @classmethod
    def exists(cls, name: str, depth: str) -> bool:
        """Whether a format has a bit depth."""
        try:
            cls(name, depth)
        except ConfigError:
            return False
        return True

    @property
    def rules(self) -> FormatRules:
        """The limits of the format."""
        return RULES[self.name]

    @property
    def extension(self) -> str:
        """Extension of the file name, without a dot."""
        return self.name

    @property
    def clips(self) -> bool:
        """Whether samples beyond [-1, 1] are clipped: in all but floating point."""
        return self.depth != "32f"

    def resolve(self, info: AudioInfo) -> OutputFormat:
        """This format with the bit depth of ``info`` in place of ``"auto"``.

        Raises:
            EncodeError: the format does not support the channels or the sample rate.
        """
        self.check_channels(info.channels)
        self.check_rate(info.sample_rate)
        if not self.rules.lossless or self.depth != "auto":
            return self
        needed = "24" if info.depth == "32f" and not self.rules.has_float else info.depth
        return replace(self, depth=needed)

    def check_channels(self, channels: int) -> None:
        """Refuse a number of channels that the format does not support.

        Raises:
            EncodeError: the number is not supported.
        """
        if channels not in self.rules.channels:
            raise EncodeError(
                f"{self.name} cannot hold the song's {channels} channels. Try "
                f"{setting(format='wav')}"
            )

    def check_rate(self, sample_rate: int) -> None:
        """Refuse a sample rate above the limit of the format.

        Raises:
            EncodeError: the sample rate is too high.
        """
        highest = self.rules.highest_rate
        if highest is not None and sample_rate > highest:
            raise EncodeError(
                f"{self.name} goes up to {highest} Hz, and the song has {sample_rate}. "
                f"Try {setting(format='wav')}"
            )

    def mistakes(self) -> list[str]:
        """Every value that the format does not support."""
        if self.name not in RULES:
            return [f"{subject('format')} must be one of {choices(RULES)}, found {self.name!r}"]
        return [*self._depth_mistakes(), *self._bitrate_mistakes(), *self._quality_mistakes()]

    def _depth_mistakes(self) -> Iterator[str]:
        if self.depth not in DEPTHS:
            yield f"{subject('depth')} must be one of {choices(DEPTHS)}, found {self.depth!r}"
        elif self.depth != "auto" and not self.rules.lossless:
            yield f"{subject('depth')} is for wav and flac, not for {self.name}; leave it out"
        elif self.depth == "32f" and not self.rules.has_float:
            yield (
                f"{self.name} does not support floating point; use "
                f"{setting(depth='24')} or {setting(format='wav')}"
            )

    def _bitrate_mistakes(self) -> Iterator[str]:
        if self.bitrate is None:
            return
        if self.rules.bitrates is None:
            kinds = "mp3, ogg, opus and m4a"
            yield f"{subject('bitrate')} is for {kinds}, not for {self.name}; leave it out"
            return
        low, high = self.rules.bitrates
        if not low <= self.bitrate <= high:
            span = f"from {low} to {high}"
            yield f"{subject('bitrate')} of {self.name} goes {span}, found {self.bitrate}"
        elif self.name == "mp3" and self.bitrate not in MP3_BITRATES:
            known = ", ".join(map(str, MP3_BITRATES))
            yield f"{subject('bitrate')} of mp3 must be one of {known}, found {self.bitrate}"

    def _quality_mistakes(self) -> Iterator[str]:
        if self.quality is None:
            return
        if self.rules.qualities is None:
            instead = "leave it out" if self.rules.lossless else f"use {option('bitrate')}"
            yield f"{subject('quality')} is for mp3 and ogg, not for {self.name}; {instead}"
            return
        if self.bitrate is not None:
            yield contradiction("bitrate", "quality")
        best, worst = self.rules.qualities
        if not min(best, worst) <= self.quality <= max(best, worst):
            span = f"from {best:g} (best) to {worst:g}"
            yield f"{subject('quality')} of {self.name} goes {span}, found {self.quality:g}"
