"""Small probe sets and models whose answers are known, for the tests of the core."""

import numpy as np

import zest_jax as zest

REVIEWS = [
    "a good film with a good cast",
    "bad film, bad music and a bad cast",
    "the music was good but the film was bad",
    "a cast of unknown people in an old house",
    "good music, good people, good house",
]


def make_probes(n=5, samples=64, size=(8, 8), channels=3, seed=0, fill=0.0, max_k=7):
    """Probes with a different number of segments (2 to max_k) in each reference."""
    rng = np.random.default_rng(seed)
    pixels = size[0] * size[1]
    segments = np.stack([(np.arange(pixels) * k // pixels).reshape(size) for k in 2 + np.arange(n) % (max_k - 1)])
    return zest.ProbeSet.from_arrays(
        references=rng.integers(30, 256, (n, *size, channels), np.uint8),
        segments=segments,
        masks=zest.draw_masks(segments.reshape(n, -1).max(axis=1) + 1, samples, seed=seed),
        fill=fill,
    )


def pixel_weights(size=(8, 8), channels=3, classes=4, seed=1):
    """A model that is linear in the pixels, float32 [H * W * C, classes]."""
    return np.random.default_rng(seed).normal(size=(size[0] * size[1] * channels, classes)).astype(np.float32)


def linear_box(weights, **settings):
    """That model as a JAX black box."""
    return zest.from_jax(lambda w, x: x.reshape(len(x), -1) @ w, weights, **settings)


def planted(probes, weights):
    """What its signature must be when masked pixels are black: each segment's own contribution, [sum of K_i, classes]."""
    truth = []
    for image, labels, k in zip(probes.references, probes.segments, probes.n_segments, strict=True):
        for s in range(k):
            part = np.where((labels == s)[..., None], image / 255, 0).reshape(-1)
            truth.append(part @ weights.astype(np.float64))
    return np.array(truth)


def words_of(probes, reference):
    """The words of a reference in order of their segments."""
    text, labels = probes.references[reference], probes.segments[reference]
    found = []
    for k in range(probes.n_segments[reference]):
        places = np.flatnonzero(labels == k)
        stop = places[0]
        while stop < len(text) and labels[stop] == k:
            stop += 1
        found.append(text[places[0] : stop])
    return found
