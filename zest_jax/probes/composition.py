"""Build perturbed inputs: keep the segments whose bit is 1, put the fill everywhere else.

Images, sounds and token ids are composed on the device, inside the same jit as a JAX model; texts as strings on the host.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from zest_jax.blackbox.protocol import InputSpec, TextSpec, Tokens, in_plain_scale
from zest_jax.probes.probe_set import ProbeSet
from zest_jax.probes.spectrum import SpectrumArrays, compose_spectrum, spectrum_arrays
from zest_jax.probes.strings import StringComposer
from zest_jax.probes.token_ids import TokenArrays, compose_tokens, token_arrays


class ProbeArrays(NamedTuple):
    """The part of a ProbeSet of images or sounds that lives on the device while models are asked."""

    references: jax.Array
    segments: jax.Array
    fill: jax.Array


def probe_arrays(
    probes: ProbeSet,
    placement: jax.sharding.Sharding | jax.Device | None = None,
    spec: InputSpec | TextSpec | None = None,
) -> ProbeArrays | SpectrumArrays | TokenArrays:
    """Put what composition needs on the device once: references, segments and fill, for texts as `spec` turns them into ids.

    Raises:
        ValueError: the probes are texts and there is no tokenizer; or it does not fit them.
    """
    if probes.modality == "text":
        if not isinstance(spec, TextSpec) or spec.tokenizer is None:
            raise ValueError("texts are composed on the device only for a model with a tokenizer")
        found = token_arrays(probes, spec.tokenizer)
    elif probes.stft is not None:
        sounds = in_plain_scale(probes.references)
        fill = np.broadcast_to(probes.fill.reshape(-1, 1) if probes.fill.ndim == 1 else probes.fill, _fills(probes))
        found = spectrum_arrays(sounds, fill, probes.segments, probes.stft)
    else:
        found = ProbeArrays(probes.references, probes.segments, probes.fill)  # pyright: ignore[reportArgumentType]
    return jax.device_put(found, placement)


def compose_batch(
    arrays: ProbeArrays | SpectrumArrays | TokenArrays,
    reference: Int[Array, " batch"] | Int[np.ndarray, " batch"],
    packed: UInt8[Array, "batch octets"] | UInt8[np.ndarray, "batch octets"],
) -> Float[Array, "batch ..."] | Tokens:
    """Compose a batch of perturbed inputs, `where(mask, reference, fill)` (paper, section 3: x' = x * m).

    Args:
        arrays: what `probe_arrays` put on the device.
        reference: which reference each input of the batch perturbs.
        packed: its mask as bits.

    Returns:
        images float32 [batch, H, W, C] in [0, 1], sounds float32 [batch, samples] in [-1, 1], or `Tokens`. One shape of batch
        is one compilation, whatever the number of segments.
    """
    if isinstance(arrays, TokenArrays):
        return compose_tokens(arrays, reference, packed)
    if isinstance(arrays, SpectrumArrays):
        return compose_spectrum(arrays, reference, packed)
    labels = arrays.segments[reference]
    bits = jnp.unpackbits(packed, axis=-1)
    keep = jnp.take_along_axis(bits, labels.reshape(len(labels), -1), axis=1, mode="clip").reshape(labels.shape)
    original = in_plain_scale(arrays.references[reference])
    # A fill of one value per channel is the same everywhere; one like the references belongs to its own.
    fill = arrays.fill if arrays.fill.ndim == 1 else arrays.fill[reference]
    return jnp.where(keep.reshape(keep.shape + (1,) * (original.ndim - keep.ndim)) > 0, original, fill)


def compose(probes: ProbeSet, reference: int, samples: slice | np.ndarray | None = None) -> np.ndarray:
    """Compose the perturbed inputs of one reference, to look at them or to ask a model by hand.

    Args:
        reference: its index in the probe set.
        samples: which of its masks, all by default.
        probes: whose reference it is.

    Returns:
        images float32 [samples, H, W, C] in [0, 1], sounds float32 [samples, length] in [-1, 1], or texts, an array of `str`
        objects [samples]; the first is the reference itself, when its first mask keeps everything.

    Raises:
        ValueError: there is no such reference.

    >>> probes = ProbeSet.from_arrays(references=np.ones((1, 1, 2, 1), np.float32), segments=np.array([[[0, 1]]]),
    ...                               masks=np.array([[[1, 1], [0, 1]]]), fill=0.5)
    >>> compose(probes, 0)[..., 0].tolist()
    [[[1.0, 1.0]], [[0.5, 1.0]]]
    """
    if not 0 <= reference < probes.n_references:
        raise ValueError(f"`reference` is {reference}; the probe set has references 0 to {probes.n_references - 1}")
    packed = probes.packed_masks[reference][slice(None) if samples is None else samples]
    references = np.full(len(packed), reference, np.int32)
    if probes.modality == "text":
        return StringComposer(probes)(references, packed)
    return np.asarray(_compose_jit(probe_arrays(probes), references, packed))


def _fills(probes: ProbeSet) -> tuple[int, int]:
    return (1 if probes.fill.ndim == 1 else probes.n_references), probes.references.shape[1]


_compose_jit = jax.jit(compose_batch)
