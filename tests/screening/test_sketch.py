import numpy as np
import pytest

from zest_jax.screening import sketch as module
from zest_jax.screening.sketch import Sketch, SketchSettings, late_interaction, make_sketch, make_sketches, signs

RNG = np.random.default_rng(0)
MASK = 2**64 - 1


def splitmix64(state: int) -> int:
    """The generator as its authors write it, in Python's own integers."""
    z = state & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1])
def test_signs_are_the_bits_of_splitmix64(seed):
    found = signs(5, SketchSettings(dimensions=128, seed=seed))
    for row in range(5):
        expected = []
        for word in range(2):
            place = (seed << 32) + row * 2 + word + 1
            value = splitmix64(place * 0x9E3779B97F4A7C15)
            expected += [1 if byte >> (7 - bit) & 1 else -1 for byte in value.to_bytes(8, "little") for bit in range(8)]
        assert found[row].tolist() == expected


def test_signs_are_even_and_unlike_those_of_another_seed():
    a, b = signs(2000, SketchSettings(seed=1)), signs(2000, SketchSettings(seed=2))
    n = a.size
    assert abs(a.mean()) < 4 / np.sqrt(n)
    assert abs((a * b).mean()) < 4 / np.sqrt(n)
    assert abs((a[:, 0] * a[:, 1]).mean()) < 4 / np.sqrt(len(a))


def test_cosines_are_kept_as_well_as_promised():
    dimensions, errors = 256, {0.0: [], 0.9: []}
    for cosine, found in errors.items():
        for i in range(150):
            x, noise = np.random.default_rng(i).normal(size=(2, 500))
            x, noise = x / np.linalg.norm(x), noise - (noise @ x) * x / (x @ x)
            y = cosine * x + np.sqrt(1 - cosine**2) * noise / np.linalg.norm(noise)
            sketch = make_sketch(
                np.stack([x, y], axis=1).astype(np.float32), SketchSettings(dimensions=dimensions, seed=i)
            )
            u, v = sketch.vectors.astype(np.float64)
            found.append(u @ v - cosine)
        promised = (1 - cosine**2) / np.sqrt(dimensions)
        assert abs(np.mean(found)) < 4 * promised / np.sqrt(len(found))
        assert 0.8 * promised < np.std(found) < 1.2 * promised


def test_vectors_have_length_one_and_norms_are_those_of_the_weights():
    weights = RNG.normal(size=(80, 3)).astype(np.float32)
    weights[:, 1] = 0
    sketch = make_sketch(weights, SketchSettings())
    assert sketch.vectors.dtype == np.float16
    np.testing.assert_allclose(np.linalg.norm(sketch.vectors.astype(float), axis=1), [1, 0, 1], atol=1e-3)
    np.testing.assert_allclose(sketch.norms, np.linalg.norm(weights.astype(float), axis=0), rtol=1e-6)


def test_sketches_of_several_are_those_of_each():
    weights = [RNG.normal(size=(80, n)).astype(np.float32) for n in (3, 1, 5)]
    for together, own in zip(make_sketches(weights, SketchSettings()), weights, strict=True):
        alone = make_sketch(own, SketchSettings())
        np.testing.assert_allclose(together.vectors, alone.vectors, atol=1e-3)
        np.testing.assert_array_equal(together.norms, alone.norms)
    assert make_sketches([], SketchSettings()) == []


def by_hand(query: Sketch, vectors, norms, same=None) -> list[float]:
    """The formula, class by class in float64."""
    found = []
    for theirs, sizes in zip(vectors.astype(float), norms.astype(float), strict=True):
        mine, own = query.vectors.astype(float), query.norms.astype(float)
        cosines = mine @ theirs.T
        if same is not None:
            pairs = list(enumerate(same))
        elif len(mine) <= len(theirs):
            pairs = [(i, int(cosines[i].argmax())) for i in range(len(mine))]
        else:
            pairs = [(int(cosines[:, j].argmax()), j) for j in range(len(theirs))]
        product = sum(own[i] * sizes[j] * cosines[i, j] for i, j in pairs)
        lengths = np.sqrt(sum(own[i] ** 2 for i, _ in pairs) * sum(sizes[j] ** 2 for _, j in pairs))
        found.append(1 - product / lengths if lengths else 1.0)
    return found


@pytest.mark.parametrize(("mine", "theirs"), [(4, 4), (3, 5), (6, 2), (1, 3)])
@pytest.mark.parametrize("piece", [1, 2**22])
def test_late_interaction_is_the_formula(mine, theirs, piece, monkeypatch):
    monkeypatch.setattr(module, "PIECE", piece)
    query = make_sketch(RNG.normal(size=(80, mine)).astype(np.float32), SketchSettings())
    others = make_sketches([RNG.normal(size=(80, theirs)).astype(np.float32) for _ in range(7)], SketchSettings())
    vectors, norms = np.stack([s.vectors for s in others]), np.stack([s.norms for s in others])
    np.testing.assert_allclose(late_interaction(query, vectors, norms), by_hand(query, vectors, norms), atol=1e-5)


def test_named_classes_are_compared_by_name():
    query = make_sketch(RNG.normal(size=(80, 3)).astype(np.float32), SketchSettings())
    others = make_sketches([RNG.normal(size=(80, 3)).astype(np.float32) for _ in range(4)], SketchSettings())
    vectors, norms = np.stack([s.vectors for s in others]), np.stack([s.norms for s in others])
    same = np.array([2, 0, 1])
    found = late_interaction(query, vectors, norms, same=same)
    np.testing.assert_allclose(found, by_hand(query, vectors, norms, same), atol=1e-5)
    assert (found > late_interaction(query, vectors, norms)).all()


def test_a_model_without_weights_is_far():
    query = make_sketch(RNG.normal(size=(80, 3)).astype(np.float32), SketchSettings())
    nothing = make_sketch(np.zeros((80, 3), np.float32), SketchSettings())
    assert late_interaction(query, nothing.vectors[None], nothing.norms[None]).tolist() == [1.0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"dimensions": 100}, "multiple of 64"), ({"dimensions": 0}, "multiple of 64"), ({"seed": -1}, "2\\^32 - 1")],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        SketchSettings(**settings)
