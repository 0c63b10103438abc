"""`load_model`: recognising files by content, and Python references."""

import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from zest_jax import image_probes, sign
from zest_jax.blackbox import FileKind, file_identity, from_callable, load_model, recognise
from zest_jax.errors import FileFormatError

MODULE = """
from flax import nnx
from zest_jax.blackbox import from_callable

NUMBER = 3

class Colour(nnx.Module):
    def __init__(self, rngs=None):
        self.head = nnx.Linear(3, 10, rngs=rngs or nnx.Rngs(0))
    def __call__(self, x):
        return self.head(x.mean((1, 2)))

def predict(x):
    return x.mean((1, 2))

def flax_model():
    return Colour()

def function():
    return predict

def black_box():
    return from_callable(predict, label="made there")

ready = from_callable(predict, label="ready")

def torch_model():
    import torch
    return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()).eval()

def nothing():
    return None

def broken():
    return 1 + "1"

class zoo:
    nested = staticmethod(function)
"""


@pytest.fixture
def references(tmp_path, monkeypatch):
    (tmp_path / "my_models.py").write_text(MODULE)
    (tmp_path / "needs_absent.py").write_text("import absent_package\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("my_models", None)


def test_onnx_is_recognised_whatever_its_name(tmp_path, answers):
    path = tmp_path / "suspect.bin"
    path.write_bytes(answers.model("victim").read_bytes())
    box = load_model(str(path), mean=answers.mean, std=answers.std, class_names=None)
    np.testing.assert_allclose(box(answers.inputs), answers.logits["victim"], atol=1e-3)
    assert (box.label, box.settings["file_sha256"]) == ("suspect", file_identity(path))


@pytest.mark.parametrize("name", ["function", "black_box", "ready", "torch_model", "zoo.nested"])
def test_references_give_black_boxes(references, images, name):
    np.testing.assert_allclose(load_model(f"my_models:{name}")(images), images.mean((1, 2)), atol=1e-6)


def test_a_reference_to_a_flax_model_takes_settings(references, images):
    box = load_model("my_models:flax_model", label="mine", mean=[0.5, 0.5, 0.5])
    assert box.label == "mine"
    assert load_model("my_models:flax_model").label == "my_models:flax_model"
    other = load_model("my_models:Colour")
    np.testing.assert_allclose(box(images), other(images - 0.5), atol=1e-5)


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        ("my_models:absent", "the module 'my_models' has no 'absent'"),
        ("no_such_module:f", "there is no Python module 'no_such_module' .* PYTHONPATH"),
        ("my_models.py:function", "'my_models.py:function' names a file; write `my_models:function`"),
        ("my_models:predict", "my_models:predict cannot be called without arguments .*name a function that takes none"),
        ("my_models:nothing", "my_models:nothing gave a NoneType, which cannot be asked; it must give a black box"),
        ("my_models:NUMBER", "my_models:NUMBER is a int; it must name a function"),
    ],
)
def test_references_that_lead_nowhere_say_why(references, reference, text):
    with pytest.raises(ValueError, match=text):
        load_model(reference)


def test_errors_inside_the_users_code_are_not_hidden(references):
    with pytest.raises(TypeError, match="unsupported operand"):
        load_model("my_models:broken")
    with pytest.raises(ModuleNotFoundError, match="absent_package"):
        load_model("needs_absent:f")


def test_settings_that_do_not_apply_are_named(references, answers):
    with pytest.raises(ValueError, match="device cannot be set for an ONNX model; it takes class_names, label"):
        load_model(answers.model("victim"), device="cpu")
    with pytest.raises(ValueError, match="my_models:black_box is a black box already; set mean where it is made"):
        load_model("my_models:black_box", mean=[0.5])


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("empty.onnx", b"", r"empty\.onnx is empty"),
        ("notes.txt", b"hello there", r"notes\.txt is no model file known here: its content is none of ONNX"),
        ("page.pt", b"<!DOCTYPE html><html>", "is markup text"),
        ("photo.onnx", b"\x89PNG\r\n\x1a\n" + bytes(50), "is a PNG image, not a model"),
        ("keras.h5", b"\x89HDF\r\n\x1a\n" + bytes(50), "is an HDF5 file .* export the model to ONNX"),
        ("pointer.onnx", b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        ("cut.pt", b"PK\x03\x04" + bytes(200), "begins like a PyTorch file but is truncated or damaged"),
        ("text.onnx", b"\x08\x09 and then something else", "is not an ONNX model|is a truncated ONNX model"),
        ("cut.safetensors", (10_000).to_bytes(8, "little") + b'{"a":', "is a truncated or damaged safetensors file"),
        ("deep.safetensors", (200_005).to_bytes(8, "little") + b'{"a":' + b"[" * 200_000, "is a truncated or damaged"),
        ("fake.safetensors", b"hello, this is text", "is not a safetensors file, whatever its name says"),
        ("array.npy", b"\x93NUMPY\x01\x00" + bytes(80), "is a NumPy array, not a model"),
    ],
)
def test_foreign_and_damaged_files_are_named(tmp_path, name, content, text):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileFormatError, match=text):
        load_model(tmp_path / name)


def test_signatures_and_probe_sets_given_by_mistake_are_named(tmp_path, images, answers):
    probes = image_probes(images, 2, 40, segmenter="grid", segmenter_settings={"rows": 2, "columns": 2})
    box = from_callable(lambda x: x.mean((1, 2)))
    sign(box, probes, checkpoint=tmp_path / "run.partial").save(tmp_path / "victim.sig")
    with pytest.raises(FileFormatError, match=r"victim\.sig is a signature, not a model; .*`zest distance`"):
        load_model(tmp_path / "victim.sig")
    with pytest.raises(FileFormatError, match=r"run\.partial is the checkpoint of an unfinished `zest sign`, not a"):
        load_model(tmp_path / "run.partial")
    with pytest.raises(
        FileFormatError, match=r"probes\.npz is a NumPy archive with the arrays .*: a signature, a probe set"
    ):
        load_model(answers.model("victim").parents[1] / "probes.npz")


def test_weights_with_metadata_of_others_are_weights(tmp_path):
    save_file({"w": np.zeros(2)}, tmp_path / "weights.safetensors", metadata={"format": "pt"})
    assert recognise(tmp_path / "weights.safetensors") is FileKind.SAFETENSORS


def test_other_zip_archives_are_refused(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(FileFormatError, match=r"is a zip archive of no kind known here \(it holds config\.json\)"):
        load_model(tmp_path / "model.keras")


def test_folders_and_missing_files_are_named(tmp_path):
    with pytest.raises(FileFormatError, match="is a folder, not a model file"):
        load_model(tmp_path)
    with pytest.raises(
        FileNotFoundError, match=r"there is no file .*absent\.onnx; give a model file, or a Python reference"
    ):
        load_model(tmp_path / "absent.onnx")


def test_the_identity_is_the_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_identity(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
