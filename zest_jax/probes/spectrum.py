"""Sounds masked in time and frequency: cells of a short-time Fourier transform, and back to samples."""

import dataclasses
import functools
import operator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Int, Int32, UInt8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stft:
    """A short-time Fourier transform with Hann windows that overlap evenly, so that it can be undone.

    Attributes:
        n_fft: samples of a window, even.
        hop: samples from one window to the next; `n_fft` divided by a whole number of at least 2.

    Raises:
        ValueError: `n_fft` or `hop` is none of these.

    >>> Stft(n_fft=256, hop=64).shape(8000)
    (129, 126)
    """

    n_fft: int = 256
    hop: int = 64

    def __post_init__(self) -> None:
        for name in ("n_fft", "hop"):
            object.__setattr__(self, name, whole_number(name, getattr(self, name)))
        if self.n_fft < 4 or self.n_fft % 2:
            raise ValueError(f"`n_fft` is {self.n_fft}; give an even number of samples, at least 4")
        if self.hop < 1 or self.n_fft % self.hop or self.n_fft // self.hop < 2:
            raise ValueError(
                f"`hop` is {self.hop} for windows of {self.n_fft} samples; give {self.n_fft} divided by a whole number of "
                "at least 2, or the samples could not be computed back"
            )

    def shape(self, samples: int) -> tuple[int, int]:
        """(bins, frames) of a sound of so many samples.

        Raises:
            ValueError: the sound is shorter than a window.
        """
        if samples < self.n_fft:
            raise ValueError(
                f"a sound has {samples} samples, fewer than the {self.n_fft} of a window of the transform; lower `n_fft`, or "
                "choose longer sounds"
            )
        return self.n_fft // 2 + 1, -(-samples // self.hop) + 1

    def forward(self, sounds: Float[Array, "batch samples"]) -> Complex[Array, "batch bins frames"]:
        """Transform sounds."""
        overlap = self.n_fft - self.hop
        return jax.scipy.signal.stft(sounds, nperseg=self.n_fft, noverlap=overlap)[2]

    def backward(self, spectrum: Complex[Array, "batch bins frames"], samples: int) -> Float[Array, "batch samples"]:
        """Undo `forward`."""
        overlap = self.n_fft - self.hop
        return jax.scipy.signal.istft(spectrum, nperseg=self.n_fft, noverlap=overlap)[1][:, :samples]


def whole_number(name: str, value: object) -> int:
    """A setting as a plain `int`.

    Raises:
        ValueError: it is none.

    >>> whole_number("hop", np.int64(64))
    64
    """
    try:
        return operator.index(value)  # pyright: ignore[reportArgumentType]
    except TypeError as error:
        raise ValueError(f"`{name}` is {value!r}; give a whole number") from error


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("spectrum", "fill", "segments"),
    meta_fields=("stft", "samples"),
)
@dataclasses.dataclass(frozen=True)
class SpectrumArrays:
    """The part of a ProbeSet that lives on the device when cells of a transform are masked.

    Attributes:
        spectrum: of the references, complex64 [refs, bins, frames].
        fill: of what masked cells become, complex64 [1 or refs, bins, frames].
        segments: the cell that every value belongs to, int32 [refs, bins, frames].
        stft, samples: the transform, and the length of the sounds.
    """

    spectrum: jax.Array
    fill: jax.Array
    segments: jax.Array
    stft: Stft
    samples: int


def spectrum_arrays(
    sounds: Float[np.ndarray, "refs samples"],
    fill: Float[np.ndarray, "fills samples"],
    segments: Int32[np.ndarray, "refs bins frames"],
    stft: Stft,
) -> SpectrumArrays:
    """Transform references and fill once."""
    transform = jax.jit(stft.forward)
    return SpectrumArrays(
        transform(jnp.asarray(sounds)), transform(jnp.asarray(fill)), jnp.asarray(segments), stft, sounds.shape[1]
    )


def compose_spectrum(
    arrays: SpectrumArrays,
    reference: Int[Array, " batch"] | Int[np.ndarray, " batch"],
    packed: UInt8[Array, "batch octets"] | UInt8[np.ndarray, "batch octets"],
) -> Float[Array, "batch samples"]:
    """Compose perturbed sounds: masked cells of the reference's transform are replaced, and the transform undone."""
    labels = arrays.segments[reference]
    bits = jnp.unpackbits(packed, axis=-1)
    keep = jnp.take_along_axis(bits, labels.reshape(len(labels), -1), axis=1, mode="clip").reshape(labels.shape)
    fill = arrays.fill if len(arrays.fill) == 1 else arrays.fill[reference]
    return arrays.stft.backward(jnp.where(keep > 0, arrays.spectrum[reference], fill), arrays.samples)
