"""What the documents take for granted: photographs, models, signatures, data sets, a server; real ones, but small.

Each is made when the first document names it, and copied into the folder in which the document is run.
"""

import contextlib
import csv
import io
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.conftest import Golden
from tests.data.conftest import png, write_tfds
from tests.docs.shrinking import with_small_sizes
from tests.making import untrained
from tests.serving import Server, serving
from zest_jax.cli.main import main
from zest_jax.training import save_checkpoint

RATE = 8000
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TOPICS = {
    "delivery": ("the parcel came late", "the box was open", "delivered on the next day", "the courier rang twice"),
    "quality": ("it broke after a week", "the cloth feels soft", "well made and heavy", "the colour fades quickly"),
    "price": ("too expensive for what it is", "a fair price", "cheaper elsewhere", "worth every penny"),
}
NETS = '''"""Networks of PyTorch, as a suspect's owner would hand them over."""

import torch

def build(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 5, stride=2), torch.nn.ReLU(), torch.nn.Conv2d(8, 16, 3, stride=2), torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(), torch.nn.Linear(256, 10),
    ).eval()

def one(): return build(1)
def two(): return build(2)
def three(): return build(3)
def four(): return build(4)
'''
GOLDEN = Golden()


def images() -> np.ndarray:
    """128 of CIFAR-10's kind: the golden ones, moved about. uint8 [128, 32, 32, 3]."""
    moved = [np.roll(GOLDEN.images, (y, x), (1, 2)) for y, x in ((0, 0), (2, -3), (-4, 1), (5, 5))]
    return np.concatenate([*moved, *(each[:, :, ::-1] for each in moved)])


def labels() -> np.ndarray:
    """Of the images, int64 [128]."""
    return np.arange(128) % 10


def texts() -> list[str]:
    """96 short reviews."""
    rng = np.random.default_rng(0)
    parts = [part for group in TOPICS.values() for part in group]
    return [" and ".join(rng.choice(parts, 3, replace=False)) for _ in range(96)]


def sounds() -> np.ndarray:
    """128 sounds of a fifth of a second with tones that begin and end, float32 [128, 1600]."""
    rng = np.random.default_rng(0)
    time = np.arange(RATE // 5) / RATE
    pitch, begin = rng.uniform(200, 2000, (128, 1)), rng.uniform(0, 0.1, (128, 1))
    tones = np.sin(2 * np.pi * pitch * time) * ((time > begin) & (time < begin + 0.08))
    return (0.5 * tones + rng.normal(0, 0.01, tones.shape)).astype(np.float32)


class World:
    """Files by the name that documents give them, made in a folder when they are asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def provide(self, text: str, into: Path) -> list[str]:
        """Copy what a text names and does not make; returns the names."""
        patterns = {name: rf"(?<![\w./-]){re.escape(name)}(?![\w-])" for name in GIVEN} | {
            "nets.py": r"\bnets\b",
            "shared": "/shared/",
        }
        found = [name for name, pattern in patterns.items() if re.search(pattern, text)]
        if re.search(r"store add models\.store|sign-all .*--store models\.store", text):
            found.remove("models.store")
        for name in found:
            made = self.need(name)
            (shutil.copytree if made.is_dir() else shutil.copy2)(made, into / name)
        return found

    def need(self, name: str) -> Path:
        """The file or folder of that name; made now if it was not before."""
        path = self.folder / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.chdir(self.folder):
                GIVEN[name](self)
        assert path.exists(), name
        return path

    def zest(self, *words: str) -> None:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as err:
            code = main(with_small_sizes(list(words)))
        assert code == 0, err.getvalue()

    def sign(self, model: str, name: str) -> None:
        self.need("probes.npz")
        self.zest("sign", model, "--probes", "probes.npz", "-o", name, "--label", Path(name).stem)


def _photos(world: World) -> None:
    Path("photos").mkdir()
    for i, image in enumerate(GOLDEN.images):
        Image.fromarray(image).save(f"photos/{i:02}.png")


def _probes(world: World) -> None:
    world.need("photos")
    world.zest("probes", "photos/", "--size", "32", "-o", "probes.npz")


def _nets(world: World) -> None:
    Path("nets.py").write_text(NETS, encoding="utf-8")


def _network(world: World) -> None:
    import torch

    world.need("nets.py")
    names: dict[str, Any] = {}
    exec(NETS, names)
    torch.save(names["build"]().state_dict(), "suspect.pt")


def _reviews(world: World) -> None:
    with open("reviews.csv", "w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["review", "label"])
        rows.writerows([text, topic_of(text)] for text in texts())


def topic_of(text: str) -> str:
    """What a review speaks of first."""
    return next(topic for topic, parts in TOPICS.items() if text.startswith(parts))


def _calls(world: World) -> None:
    import soundfile

    Path("calls").mkdir()
    for i, sound in enumerate(sounds()[:12]):
        soundfile.write(f"calls/{i:02}.wav", np.tile(sound, 5), RATE)


def _golden(golden: str, name: str) -> Callable[[World], None]:
    def make(world: World) -> None:
        shutil.copy(GOLDEN.models[golden], name)

    return make


def _signed(name: str, model: str) -> Callable[[World], None]:
    """The signature of a file, or of a network of nets.py."""

    def make(world: World) -> None:
        world.need("nets.py" if ":" in model else model)
        world.sign(model, name)

    return make


def _signatures(world: World) -> None:
    Path("signatures").mkdir(exist_ok=True)
    for name, model in {"m1": "nets:one", "m2": "nets:two", "m3": "victim.onnx"}.items():
        _signed(f"signatures/{name}.sig", model)(world)


def _models(world: World) -> None:
    for name in ("cats", "dogs"):
        Path("models").mkdir(exist_ok=True)
        shutil.copy(GOLDEN.models["victim" if name == "cats" else "unrelated"], f"models/{name}.onnx")


def _shared(world: World) -> None:
    Path("shared/models").mkdir(parents=True)
    shutil.copy(GOLDEN.models["unrelated"], "shared/models/dogs.onnx")


def _runs(world: World) -> None:
    for seed, name in enumerate(("victim", "pruned")):
        save_checkpoint(f"runs/{name}", untrained(seed, classes=10))


def _store(world: World) -> None:
    signatures = world.need("signatures")
    world.zest("store", "add", "models.store", *map(str, sorted(signatures.glob("*.sig"))))


#: What documents name without making it.
GIVEN: Mapping[str, Callable[[World], None]] = {
    "photos": _photos,
    "probes.npz": _probes,
    "nets.py": _nets,
    "reviews.csv": _reviews,
    "calls": _calls,
    "victim.onnx": _golden("victim", "victim.onnx"),
    "suspect.onnx": _golden("victim_epoch3", "suspect.onnx"),
    "suspect.pt": _network,
    "victim.sig": _signed("victim.sig", "victim.onnx"),
    "suspect.sig": _signed("suspect.sig", "suspect.onnx"),
    "other1.sig": _signed("other1.sig", "nets:three"),
    "other2.sig": _signed("other2.sig", "nets:four"),
    "signatures": _signatures,
    "models": _models,
    "shared": _shared,
    "runs": _runs,
    "models.store": _store,
}


def prepare_data_sets(folder: Path) -> None:
    """Data sets as TFDS prepares them, of few records."""
    import tensorflow_datasets as tfds

    features = {
        "image": tfds.features.Image(shape=(32, 32, 3)),
        "label": tfds.features.ClassLabel(names=list(CLASSES)),
    }
    records = [{"image": png(image), "label": int(label)} for image, label in zip(images(), labels(), strict=True)]
    write_tfds(folder / "cifar10", features, {"train": records[:64], "test": records[64:96]})


@contextlib.contextmanager
def model_server() -> Iterator[Server]:
    """The suspect behind an address: KServe by the name of any model, `{"inputs": [...]}` elsewhere."""
    import onnxruntime

    session = onnxruntime.InferenceSession(GOLDEN.models["victim_epoch3"])

    def answer(values: Any) -> list:
        pixels = np.asarray(values, np.float32)
        channels_first = pixels if pixels.shape[1] == 3 else pixels.transpose(0, 3, 1, 2)
        return np.asarray(session.run(None, {"x": channels_first})[0]).tolist()

    told = {
        "name": "cats",
        "versions": ["1"],
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3, 32, 32]}],
        "outputs": [{"name": "scores", "datatype": "FP32", "shape": [-1, 10]}],
    }
    with serving(answer, metadata=told) as server:
        yield server
