"""Real images for benchmarks, from what the project and its dependencies ship."""

import numpy as np
import skimage.data
from skimage.transform import resize
from sklearn.datasets import load_sample_image

from benchmarks.record import ROOT

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket", "hubble_deep_field", "immunohistochemistry")


def golden_images(count: int) -> np.ndarray:
    """The 16 golden CIFAR-10 images, repeated to `count`; uint8 [count, 32, 32, 3]."""
    with np.load(ROOT / "tests" / "golden" / "probes.npz") as data:
        images = data["images"]
    return np.resize(images, (count, *images.shape[1:]))


def photographs(count: int, size: int) -> np.ndarray:
    """Eight photographs at `size` x `size` pixels, repeated to `count`; uint8 [count, size, size, 3]."""
    full = [getattr(skimage.data, name)() for name in PHOTOGRAPHS]
    full += [load_sample_image(name) for name in ("china.jpg", "flower.jpg")]
    small = np.stack([np.asarray(resize(image, (size, size), anti_aliasing=True)) for image in full])
    return np.resize(np.round(small * 255).astype(np.uint8), (count, size, size, 3))


def crops(count: int, size: int, seed: int) -> np.ndarray:
    """Different random crops of the photographs at full resolution; uint8 [count, size, size, 3]."""
    full = [getattr(skimage.data, name)() for name in PHOTOGRAPHS]
    full += [load_sample_image(name) for name in ("china.jpg", "flower.jpg")]
    rng = np.random.default_rng(seed)
    chosen = []
    for i in range(count):
        image = full[i % len(full)]
        top, left = (int(rng.integers(0, n - size + 1)) for n in image.shape[:2])
        chosen.append(image[top : top + size, left : left + size])
    return np.stack(chosen)
