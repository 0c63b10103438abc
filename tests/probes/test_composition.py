import jax
import numpy as np
import pytest

from zest_jax.probes import ProbeSet, compose, draw_masks
from zest_jax.probes.composition import compose_batch, probe_arrays


def make(fill, dtype=np.uint8, channels=3):
    rng = np.random.default_rng(0)
    references = rng.integers(0, 256, (3, 6, 5, channels), np.uint8)
    if dtype != np.uint8:
        references = (references / 255).astype(dtype)
    segments = np.stack([np.arange(30).reshape(6, 5) // n for n in (3, 6, 10)])
    counts = segments.reshape(3, -1).max(axis=1) + 1
    return ProbeSet.from_arrays(references=references, segments=segments, masks=draw_masks(counts, 12), fill=fill)


def by_hand(probes, i):
    image = probes.references[i].astype(np.float64) / (255 if probes.references.dtype == np.uint8 else 1)
    fill = probes.fill if probes.fill.ndim == 1 else probes.fill[i]
    return np.stack([np.where(mask[probes.segments[i]][..., None], image, fill) for mask in probes.masks[i]])


@pytest.mark.parametrize(
    "fill",
    [0.0, (0.1, 0.2, 0.3), np.random.default_rng(1).random((3, 6, 5, 3), np.float32)],
    ids=["black", "colour", "place"],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_kept_segments_show_the_reference_and_others_the_fill(fill, dtype):
    probes = make(fill, dtype)
    for i in range(3):
        np.testing.assert_allclose(compose(probes, i), by_hand(probes, i), atol=1e-6)


def test_the_first_perturbed_input_is_the_reference():
    probes = make(0.5, channels=1)
    np.testing.assert_allclose(compose(probes, 2, slice(1))[0], probes.references[2] / 255, atol=1e-6)


def test_one_compilation_for_references_with_any_number_of_segments():
    probes = make(0.5)
    traces = 0

    @jax.jit
    def counted(*arguments):
        nonlocal traces
        traces += 1
        return compose_batch(*arguments)

    arrays = probe_arrays(probes)
    for i in range(3):
        out = counted(arrays, np.full(12, i, np.int32), probes.packed_masks[i])
        np.testing.assert_allclose(out, by_hand(probes, i), atol=1e-6)
    assert traces == 1


def test_a_reference_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="has references 0 to 2"):
        compose(make(0.5), 3)
