"""Options that say what references are drawn from and how probes are made of them: images, texts or sounds."""

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import arg

from zest_jax.cli.options import OFF, commas, floats, pixels, settings

if TYPE_CHECKING:
    from zest_jax.data import ImageSet, SoundSet, TextSet
    from zest_jax.probes import ProbeSet

    Pool = ImageSet | TextSet | SoundSet

_SIZE = commas("PIXELS", pixels, default="as the images are; required if their sizes differ")
_SETTINGS = commas("NAME=VALUE,...", settings, default="the segmenter's own; the paper's for quickshift")

# What each kind of input is cut with, the default first.
SEGMENTERS = {
    "image": ("quickshift", "quickshift-jax", "slic", "grid"),
    "text": ("words", "occurrences"),
    "audio": ("windows", "silence", "stft"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PoolOptions:
    """How the inputs are read that references are drawn from."""

    modality: Literal["auto", "image", "text", "audio"] = "auto"
    """What the source holds; auto finds out from its content and the endings of its files."""

    split: Annotated[str, arg(metavar="NAME")] = "train"
    """Split of a TFDS data set to read, unless the name has one (cifar10:test)."""

    limit: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: all)")] = None
    """Read at most N inputs, drawn with the seed (the first N with --references first). Reading less of a large set is
    faster."""

    skip_bad: Annotated[bool, OFF] = False
    """Leave inputs that cannot be used out and count them, instead of stopping at the first."""

    size: Annotated[int | tuple[int, int] | None, *_SIZE] = None
    """Images: height and width in pixels that the models expect, one number for a square, or HEIGHTxWIDTH. Images are scaled
    until they cover it and cut at the centre."""

    color: Literal["auto", "rgb", "grey"] = "auto"
    """Images: their channels; auto makes all grey if all are grey, else RGB."""

    column: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: text, or the only one)")] = None
    """Texts: the column of a CSV or TSV file, or the field of JSON lines, that holds them."""

    rate: Annotated[int | None, arg(metavar="HZ", help_behavior_hint="(default: that of the sounds)")] = None
    """Sounds: samples per second that the models expect; sounds of another rate are resampled."""

    seconds: Annotated[float | None, arg(metavar="S", help_behavior_hint="(default: the longest)")] = None
    """Sounds: the length to which they are cut or padded with silence."""

    channels: Literal["mono", "mix", "first"] = "mono"
    """Sounds: what to do with several channels: refuse them, take their mean, or the first."""

    def read(self, source: str, *, seed: int | None, progress: bool) -> "Pool":
        """Read the inputs, saying what was left out."""
        from zest_jax.cli.console import note
        from zest_jax.cli.files import UsageError
        from zest_jax.data import load_images, load_sound_pool, load_text_pool, modality_of
        from zest_jax.data.known import PLURAL

        modality = modality_of(source, self.split) if self.modality == "auto" else self.modality
        for kind, names in _OWN.items():
            given = [name for name in names if getattr(self, name) != getattr(type(self)(), name)]
            if given and kind != modality:
                raise UsageError(
                    f"--{given[0]} is for {PLURAL[kind]}, and {source} holds {PLURAL[modality]}; leave it out"
                )
        common: dict[str, Any] = {
            "split": self.split,
            "limit": self.limit,
            "seed": seed,
            "skip_bad": self.skip_bad,
            "on_skip": lambda name, reason: note(f"skipped {name}: {reason}"),
            "progress": progress,
        }
        if modality == "text":
            pool = load_text_pool(source, column=self.column, **common)
            if self.skip_bad:
                pool = _with_words(pool)
            what = f"{len(pool.texts):,} texts"
        elif modality == "audio":
            pool = load_sound_pool(source, rate=self.rate, seconds=self.seconds, channels=self.channels, **common)
            rate = pool.rate or self.rate
            if rate is None:
                raise UsageError(
                    f"{source} does not tell the rate of its sounds, so they cannot be probes; use a source that does"
                )
            what = f"{len(pool.sounds):,} sounds of {pool.sounds.shape[1] / rate:.3g} s at {rate:,} Hz"
            what += f" ({pool.resampled:,} resampled)" if pool.resampled else ""
        else:
            pool = load_images(source, size=self.size, color=self.color, **common)
            height, width, channels = pool.images.shape[1:]
            what = f"{len(pool):,} images of {height}x{width}x{channels}"
        left_out = f", {len(pool.skipped):,} {_BAD[modality]} left out" if pool.skipped else ""
        note(f"read {what} from {source}{left_out}")
        return pool


_OWN = {"image": ("size", "color"), "text": ("column",), "audio": ("rate", "seconds", "channels")}
_BAD = {"image": "unreadable", "text": "unusable", "audio": "unusable"}


def _with_words(pool: "TextSet") -> "TextSet":
    """Leave out texts in which there is no word to mask."""
    import numpy as np

    from zest_jax.cli.console import note
    from zest_jax.cli.files import UsageError
    from zest_jax.probes.words import has_word

    kept = np.array([has_word(text) for text in pool.texts])
    if kept.all():
        return pool
    if not kept.any():
        raise UsageError(
            f"none of the {len(pool):,} texts of {pool.source} has a word that could be masked; give others"
        )
    wordless = pool.texts[~kept].tolist()
    for text in wordless:
        note(f"skipped {text[:40]!r}: it has no word")
    labels = None if pool.labels is None else pool.labels[kept]
    return dataclasses.replace(pool, texts=pool.texts[kept], labels=labels, skipped=(*pool.skipped, *wordless))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbeOptions:
    """How probes are made."""

    n_references: Annotated[int, arg(metavar="N")] = 128
    """Reference inputs around which models are explained; more give steadier distances, and cost as much more."""

    n_samples: Annotated[int, arg(metavar="L")] = 1000
    """Random masks for each reference, the first of which keeps everything; more than it has segments."""

    seed: int = 0
    """Decides which references and which masks are drawn; the same seed gives the same probes everywhere."""

    references: Literal["random", "first", "stratified"] = "random"
    """Which inputs become references: random ones, the first ones (the paper's code), or equally many of each class
    (sub-folder or label)."""

    segmenter: Literal[
        "auto", "quickshift", "quickshift-jax", "slic", "grid", "words", "occurrences", "windows", "silence", "stft"
    ] = "auto"
    """How an input is cut into the segments that are masked; auto takes quickshift, words or windows. Images: quickshift (the
    paper's), the same on the accelerator, slic, or a grid of rectangles. Texts: different words, or words at every place.
    Sounds: windows of equal length, what lies between silent gaps, or cells of time and frequency (stft)."""

    segmenter_settings: Annotated[dict[str, Any] | None, *_SETTINGS] = None
    """Settings of the segmenter, as rows=8,columns=8 (grid), n_segments=64,compactness=10 (slic),
    kernel_size=4,max_dist=200,ratio=0.2 (quickshift), n_windows=16 (windows), threshold=30,shortest=0.05 (silence) or
    n_windows=8,n_bands=4 (stft)."""

    fill: Annotated[str | None, arg(metavar="FILL", help_behavior_hint="(default: mean, remove or silence)")] = None
    """What is masked becomes this. Images: mean (the images' mean colour), black, blur, or a colour R,G,B of values from 0 to
    1. Texts: remove, or a token that the models know, such as [UNK]. Sounds: silence, noise (at the clip's floor), mean."""

    p: Annotated[float, arg(metavar="P")] = 0.5
    """Probability that a segment is kept, between 0 and 1."""

    workers: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: one per processor)")] = None
    """Images: how many are cut into super-pixels at the same time."""

    def make(self, pool: "Pool", *, progress: bool) -> "ProbeSet":
        """Make the probe set of a pool of inputs."""
        from zest_jax.cli.files import UsageError
        from zest_jax.data import SoundSet, TextSet
        from zest_jax.data.known import PLURAL
        from zest_jax.probes import audio_probes, image_probes, text_probes

        if self.references == "stratified" and pool.labels is None:
            raise UsageError(
                f"--references stratified needs classes, and {pool.source} has none: sort the files into one sub-folder per "
                "class, store labels beside the inputs, or choose another way"
            )
        modality = "text" if isinstance(pool, TextSet) else "audio" if isinstance(pool, SoundSet) else "image"
        segmenter = SEGMENTERS[modality][0] if self.segmenter == "auto" else self.segmenter
        if segmenter not in SEGMENTERS[modality]:
            raise UsageError(
                f"--segmenter {segmenter} does not cut {PLURAL[modality]}, which {pool.source} holds; choose "
                f"{', '.join(SEGMENTERS[modality])}"
            )
        how: dict[str, Any] = {
            "references": self.references,
            "labels": pool.labels,
            "segmenter": segmenter,
            "p": self.p,
        }
        numbers = self.n_references, self.n_samples, self.seed
        if isinstance(pool, TextSet):
            if self.segmenter_settings:
                raise UsageError(f"--segmenter {segmenter} takes no settings; leave out --segmenter-settings")
            return text_probes(pool.texts, *numbers, fill=_text_fill(self.fill), **how)
        how["segmenter_settings"] = self.segmenter_settings
        if isinstance(pool, SoundSet):
            assert pool.rate is not None  # reading saw to it
            return audio_probes(pool.sounds, *numbers, rate=pool.rate, fill=_sound_fill(self.fill), **how)
        return image_probes(
            pool.images, *numbers, fill=_image_fill(self.fill), workers=self.workers, progress=progress, **how
        )

    @property
    def pool_seed(self) -> int | None:
        """With --limit, which inputs are read."""
        return None if self.references == "first" else self.seed


def _text_fill(text: str | None) -> str:
    from zest_jax.cli.files import UsageError

    if text in ("mean", "black", "blur", "silence", "noise"):
        raise UsageError(f"--fill {text} is for images or sounds; texts take remove, or a token such as [UNK]")
    return "" if text in (None, "remove") else str(text)


def _image_fill(text: str | None) -> Any:
    """Read "mean", "black", "blur", or a colour of values from 0 to 1."""
    return "mean" if text is None else text if text in ("mean", "black", "blur") else _values(text, 0)


def _sound_fill(text: str | None) -> Any:
    """Read "silence", "noise", "mean", or a value from -1 to 1."""
    return "silence" if text is None else text if text in ("silence", "noise", "mean") else _values(text, -1)


def _values(text: str, lowest: int) -> tuple[float, ...]:
    from zest_jax.cli.files import UsageError

    known = "mean, black, blur, or a colour" if lowest == 0 else "silence, noise, mean, or a value"
    try:
        values = floats(text)
    except ValueError as error:
        raise UsageError(f"--fill {text} is none of {known} ({error})") from error
    if not all(lowest <= value <= 1 for value in values):
        raise UsageError(f"--fill {text} is none of {known}: it has values from {lowest} to 1")
    return values
