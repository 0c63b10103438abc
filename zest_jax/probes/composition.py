"""Build perturbed inputs on the device: keep the segments whose bit is 1, put the fill everywhere else."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from zest_jax.probes.probe_set import ProbeSet


class ProbeArrays(NamedTuple):
    """The part of a ProbeSet that lives on the device while models are asked."""

    references: jax.Array
    segments: jax.Array
    fill: jax.Array


def probe_arrays(probes: ProbeSet, placement: jax.sharding.Sharding | jax.Device | None = None) -> ProbeArrays:
    """Put references, segments and fill on the device once."""
    return ProbeArrays(*jax.device_put((probes.references, probes.segments, probes.fill), placement))


def compose_batch(
    arrays: ProbeArrays,
    reference: Int[Array, " batch"] | Int[np.ndarray, " batch"],
    packed: UInt8[Array, "batch octets"] | UInt8[np.ndarray, "batch octets"],
) -> Float[Array, "batch ..."]:
    """Compose a batch of perturbed inputs, `where(mask, reference, fill)` (paper, section 3: x' = x * m).

    Args:
        arrays: references [refs, ..., C], segments [refs, ...] and fill, on the device.
        reference: which reference each input of the batch perturbs.
        packed: its mask as bits.

    Returns:
        float32 [batch, ..., C] in [0, 1]. One shape of batch is one compilation, whatever the number of segments.
    """
    image = arrays.references[reference]
    labels = arrays.segments[reference]
    bits = jnp.unpackbits(packed, axis=-1)
    keep = jnp.take_along_axis(bits, labels.reshape(len(labels), -1), axis=1, mode="clip").reshape(labels.shape)
    plain = image.astype(jnp.float32)
    if arrays.references.dtype == jnp.uint8:
        plain = plain / 255
    # A fill of [C] is the same everywhere; one of [refs, ..., C] belongs to its reference.
    fill = arrays.fill if arrays.fill.ndim == 1 else arrays.fill[reference]
    return jnp.where(keep[..., None] > 0, plain, fill)


def compose(probes: ProbeSet, reference: int, samples: slice | np.ndarray | None = None) -> np.ndarray:
    """Compose the perturbed inputs of one reference, to look at them or to ask a model by hand.

    Args:
        reference: its index in the probe set.
        samples: which of its masks, all by default.

    Returns:
        float32 [samples, H, W, C] in [0, 1]; the first is the reference itself, when its first mask keeps everything.

    >>> probes = ProbeSet.from_arrays(references=np.ones((1, 1, 2, 1), np.float32), segments=np.array([[[0, 1]]]),
    ...                               masks=np.array([[[1, 1], [0, 1]]]), fill=0.5)
    >>> compose(probes, 0)[..., 0].tolist()
    [[[1.0, 1.0]], [[0.5, 1.0]]]
    """
    if not 0 <= reference < probes.n_references:
        raise ValueError(f"`reference` is {reference}; the probe set has references 0 to {probes.n_references - 1}")
    packed = probes.packed_masks[reference][slice(None) if samples is None else samples]
    return np.asarray(_compose_jit(probe_arrays(probes), np.full(len(packed), reference, np.int32), packed))


_compose_jit = jax.jit(compose_batch)
