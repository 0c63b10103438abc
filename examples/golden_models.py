"""The quick demo: three small CIFAR-10 classifiers in ONNX that the tests use, and two copies made on the spot."""

from importlib import metadata
from pathlib import Path

import numpy as np
from contest import Contest, Contestant
from int8 import quantise_int8

import zest_jax as zest
from zest_jax.errors import missing_extra

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"
CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PRUNED = 0.25


def contest(folder: Path, n_images: int, n_samples: int) -> Contest:
    """Set up the quick demo; models that have to be made are kept in `folder`.

    Raises:
        MissingExtraError: ONNX, which prunes and quantises, is not installed.
    """
    _import_onnx()
    with np.load(GOLDEN / "probes.npz", allow_pickle=False) as golden:
        images, mean, std = (golden[name] for name in ("images", "mean", "std"))
    if not 1 <= n_images <= len(images):
        raise ValueError(f"there are 1 to {len(images)} images to ask about, not {n_images}")
    images = images[:n_images]
    probes = zest.image_probes(images, n_references=n_images, n_samples=n_samples, references="first", progress=False)
    victim = GOLDEN / "models" / "victim.onnx"
    share = f"{PRUNED:.0%}"

    def box(path: Path, label: str) -> zest.BlackBox:
        return zest.from_onnx(path, mean=mean, std=std, label=label, class_names=CLASS_NAMES)

    def int8() -> Path:
        path = folder / "victim-int8.onnx"
        if not path.exists():
            plain = images.astype(np.float32) / 255
            quantise_int8(victim, path, ((plain - mean) / std).transpose(0, 3, 1, 2).astype(np.float32))
        return path

    def pruned() -> Path:
        path = folder / "victim-pruned.onnx"
        if not path.exists():
            prune(victim, path, PRUNED)
        return path

    models = victim.parent
    return Contest(
        title=f"ResNet20 classifiers on {n_images} images of CIFAR-10",
        probes=probes,
        image_names=[f"CIFAR-10 image {200 + i}" for i in range(n_images)],
        drawn=int(probes.n_segments.argmax()),
        contestants=[
            Contestant(label="victim", kind="victim", how="ONNX", make=lambda: box(victim, "victim")),
            Contestant(
                label="victim in int8", kind="copy", how="quantised", make=lambda: box(int8(), "victim in int8")
            ),
            Contestant(
                label=f"victim pruned {share}",
                kind="copy",
                how=f"{share} of weights 0",
                make=lambda: box(pruned(), f"victim pruned {share}"),
            ),
            Contestant(
                label="victim, epoch 3",
                kind="copy",
                how="an epoch earlier",
                make=lambda: box(models / "victim_epoch3.onnx", "victim, epoch 3"),
            ),
            Contestant(
                label="unrelated",
                kind="independent",
                how="own training",
                make=lambda: box(models / "unrelated.onnx", "unrelated"),
            ),
        ],
        unrelated=[
            (kin, "unrelated") for kin in ("victim", "victim in int8", f"victim pruned {share}", "victim, epoch 3")
        ],
        versions={name: metadata.version(name) for name in ("onnx", "onnxruntime")},
        settings={"pruned": PRUNED, "int8": "static, per channel, 7-bit weights, 8-bit activations"},
        note="There is a single independent model, so these pairs resemble one another and the bound is rough.",
    )


def prune(source: Path, target: Path, share: float) -> None:
    """Set the smallest weights of all convolutions of an ONNX model together to 0."""
    onnx = _import_onnx()
    model = onnx.load(str(source))
    convolved = {node.input[1] for node in model.graph.node if node.op_type == "Conv"}
    weights = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer if t.name in convolved}
    bound = np.quantile(np.concatenate([np.abs(w).ravel() for w in weights.values()]), share)
    for tensor in model.graph.initializer:
        if tensor.name in weights:
            kept = np.where(np.abs(weights[tensor.name]) > bound, weights[tensor.name], 0)
            tensor.CopyFrom(onnx.numpy_helper.from_array(kept.astype(np.float32), tensor.name))
    unfinished = target.with_suffix(".partial")
    onnx.save(model, str(unfinished))
    unfinished.replace(target)


def _import_onnx():
    try:
        import onnx
        import onnx.numpy_helper
    except ImportError as error:
        raise missing_extra("onnx", "demo-quick") from error
    return onnx
