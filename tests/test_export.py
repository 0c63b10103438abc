"""`export_onnx`: what it writes, what it checks, what it refuses."""

import dataclasses
import json
import sys
import warnings

import jax
import numpy as np
import pytest

from tests.worlds import make_probes
from zest_jax import audio_probes, distance, sign, text_probes
from zest_jax.blackbox import from_checkpoint, from_onnx
from zest_jax.data.tokens import Tokenizer
from zest_jax.errors import FileFormatError, MissingExtraError
from zest_jax.models.registry import ModelConfig

ort = pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")
pytest.importorskip("orbax.checkpoint")
from zest_jax.export import ExportError, export_onnx  # noqa: E402 - after the check that its libraries are there
from zest_jax.training.checkpoints import (  # noqa: E402
    Checkpoint,
    CheckpointInfo,
    LineageStep,
    set_weights,
    weights_of,
)
from zest_jax.training.run_folder import save_checkpoint  # noqa: E402

MODELS = {
    "resnet20": ((8, 8, 3), {}),
    "resnet20 of grey images": ((12, 10, 1), {"in_channels": 1}),
    "resnet18 for CIFAR": ((8, 8, 3), {"stem": "cifar"}),
    "resnet18 for ImageNet": ((32, 32, 3), {}),
    "mobilenet_v2 for CIFAR": ((8, 8, 3), {"stem": "cifar", "width": 0.25}),
    "m5": ((1000,), {"widths": (4, 4, 8, 8)}),
    "lstm": ((7,), {"vocabulary": 30, "embedding": 4, "hidden": 5, "dropout": 0.5}),
}


def checkpoint(name="resnet20", seed=0):
    """A model whose running statistics are those of no fresh one."""
    shape, options = MODELS[name]
    config = ModelConfig(name=name.split()[0], num_classes=4, options=options)
    model = config.build(seed=seed)
    rng = np.random.default_rng(seed)
    noisy = {
        path: value * rng.uniform(0.5, 1.5, value.shape).astype(np.float32)
        + (rng.normal(0, 0.1, value.shape).astype(np.float32) if path.endswith(("bias", "mean")) else 0)
        for path, value in weights_of(model).items()
    }
    set_weights(model, noisy, origin="the test")
    channels = {3: shape[-1], 1: 0 if name == "lstm" else 1}[len(shape)]
    info = CheckpointInfo(
        model=config,
        input_shape=shape,
        mean=(0.5, 0.4, 0.3)[:channels],
        std=(0.2, 0.25, 0.3)[:channels],
        class_names=("cat", "dog", "owl", "ant"),
        dataset="pets",
        accuracy=0.5,
        lineage=(LineageStep(kind="train", settings={"seed": seed}),),
    )
    return Checkpoint(model, info)


def metadata(path):
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


@pytest.mark.parametrize("name", MODELS)
def test_exported_models_answer_plain_inputs_as_the_checkpoint(tmp_path, name):
    made = checkpoint(name)
    report = export_onnx(made, tmp_path / "model.onnx")
    assert report.difference < 1e-5
    session = ort.InferenceSession(report.path, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(1)
    for batch in (1, 5):
        if name == "lstm":
            x = rng.integers(0, 30, (batch, *made.info.input_shape), np.int32)
        else:
            x = rng.random((batch, *made.info.input_shape), np.float32)
        (found,) = session.run(["logits"], {"inputs": x})
        np.testing.assert_allclose(found, made.outputs(x), rtol=1e-3, atol=1e-4)
    onnx.checker.check_model(onnx.load(report.path), full_check=True)


def test_sounds_keep_their_rate(tmp_path):
    made = checkpoint("m5")
    made = Checkpoint(made.model, dataclasses.replace(made.info, rate=8000))
    box = from_onnx(export_onnx(made, tmp_path / "model.onnx").path)
    assert (box.spec.rate, box.settings["modality"], box.spec.layout) == (8000, "audio", "NHWC")
    pool = np.random.default_rng(0).uniform(-0.8, 0.8, (3, 1000)).astype(np.float32)
    probes = audio_probes(pool, 3, 40, rate=8000)
    assert distance(sign(box, probes), sign(from_checkpoint(made), probes)) < 1e-5
    with pytest.raises(ValueError, match="model takes sounds at 8,000 Hz, and the probes are at 16,000 Hz"):
        sign(box, audio_probes(pool, 3, 40, rate=16000))
    assert from_onnx(tmp_path / "model.onnx", rate=16000).spec.rate == 16000


def test_texts_are_asked_as_strings(tmp_path):
    texts = ["a good film with a good cast", "bad film, bad music and a bad cast", "an old house"]
    made = checkpoint("lstm")
    tokenizer = Tokenizer.of_texts(texts, vocabulary=30, length=7)
    made = Checkpoint(made.model, dataclasses.replace(made.info, tokenizer=tokenizer.to_json()))
    box = from_onnx(export_onnx(made, tmp_path / "model.onnx").path)
    assert (box.takes_texts, box.settings["modality"], box.class_names) == (True, "text", ("cat", "dog", "owl", "ant"))
    probes = text_probes(texts, 3, 40)
    assert distance(sign(box, probes), sign(from_checkpoint(made), probes)) < 1e-5
    box = from_onnx(tmp_path / "model.onnx")
    with pytest.warns(UserWarning, match="1 of 2 texts of a batch .* more than the 7 tokens that model takes") as told:
        box(["a good film with a good cast and a house", "an old house"])
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        box(["a good film with a good cast and a house"])
    with pytest.raises(ValueError, match="model takes texts; mean, std, value_range, layout and rate belong to images"):
        from_onnx(tmp_path / "model.onnx", mean=(0.5,))


def test_token_ids_without_a_tokenizer(tmp_path):
    path = export_onnx(checkpoint("lstm"), tmp_path / "model.onnx").path
    with pytest.raises(
        FileFormatError, match=r"int32 .* supported: wrap the model in a function on strings .* `from_texts`"
    ):
        from_onnx(path)
    found = onnx.load(path)
    found.metadata_props.add(key="tokenizer", value='{"version": "9"}')
    found.metadata_props.add(key="zest_jax", value="0.0.0")
    with pytest.raises(FileFormatError, match="the stored tokenizer cannot be read"):
        from_onnx(found.SerializeToString())


def test_words_of_other_exporters_are_not_believed(tmp_path):
    path = export_onnx(checkpoint(), tmp_path / "model.onnx").path
    found = onnx.load(path)
    kept = [entry for entry in found.metadata_props if entry.key not in ("zest_jax", "modality")]
    del found.metadata_props[:]
    found.metadata_props.extend(kept)
    for key, value in {"rate": "2", "modality": "text", "tokenizer": "{}"}.items():
        found.metadata_props.add(key=key, value=value)
    box = from_onnx(found.SerializeToString())
    assert (box.spec.rate, box.takes_texts, "modality" in box.settings) == (None, False, False)


def test_signatures_of_export_and_checkpoint_agree_without_flags(tmp_path):
    made = checkpoint()
    report = export_onnx(save_checkpoint(tmp_path / "victim", made), tmp_path / "victim.onnx")
    assert report.flags == ()
    probes = make_probes()
    exported = sign(from_onnx(report.path), probes)
    own = sign(from_checkpoint(tmp_path / "victim"), probes)
    np.testing.assert_allclose(exported.weights, own.weights, rtol=1e-3, atol=1e-4)
    assert exported.class_names == own.class_names
    assert distance(exported, own) < 1e-6
    assert distance(exported, sign(from_checkpoint(checkpoint(seed=1)), probes), align="none") > 1e-2


def test_metadata_tell_where_the_model_comes_from(tmp_path):
    made = checkpoint()
    report = export_onnx(made, tmp_path / "model.onnx", opset=20)
    found = metadata(report.path)
    assert found["fingerprint"] == report.fingerprint == made.fingerprint
    assert json.loads(found["class_names"]) == ["cat", "dog", "owl", "ant"]
    assert json.loads(found["lineage"]) == [{"kind": "train", "parent": None, "settings": {"seed": 0}}]
    assert ModelConfig.from_json(json.loads(found["architecture"])) == made.info.model
    assert (found["dataset"], found["layout"], found["accuracy"]) == ("pets", "NHWC", "0.5")
    assert onnx.load(report.path).opset_import[0].version == report.opset == 20


def test_the_caller_s_model_stays_in_its_mode(tmp_path):
    made = checkpoint("mobilenet_v2 for CIFAR")
    made.model.train()
    export_onnx(made, tmp_path / "model.onnx")
    x = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    before = np.asarray(made.model(x))
    made.model.eval()
    assert np.abs(before - made.model(x)).max() > 1e-3


def test_a_difference_above_the_tolerance_writes_nothing(tmp_path):
    with pytest.raises(
        ExportError, match=r"resnet20 differs from the checkpoint by \S+e-0\d of the largest logit, more"
    ):
        export_onnx(checkpoint(), tmp_path / "model.onnx", tolerance=1e-12)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_graph_is_found_and_the_old_file_stays(tmp_path, monkeypatch):
    (tmp_path / "model.onnx").write_bytes(b"old")
    monkeypatch.setitem(sys.modules["zest_jax.onnx_lowering"]._ELEMENTWISE, "sub", "Add")
    with pytest.raises(ExportError, match="differs from the checkpoint by"):
        export_onnx(checkpoint(), tmp_path / "model.onnx")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_an_operation_that_is_unknown_is_named(tmp_path, monkeypatch):
    made = checkpoint()
    monkeypatch.setattr(type(made.model), "classify", lambda self, features: jax.numpy.sort(features[-1].mean((1, 2))))
    with pytest.raises(
        ExportError, match="resnet20 cannot be exported: the operation `sort` is not translated to ONNX"
    ):
        export_onnx(made, tmp_path / "model.onnx")


def test_wrong_arguments_are_named(tmp_path):
    with pytest.raises(ValueError, match="`opset` is 9; give 18 to"):
        export_onnx(checkpoint(), tmp_path / "model.onnx", opset=9)
    with pytest.raises(ValueError, match="`tolerance` is 0.0; give a share of the largest logit above 0"):
        export_onnx(checkpoint(), tmp_path / "model.onnx", tolerance=0.0)
    with pytest.raises(FileNotFoundError, match="the folder .*absent does not exist"):
        export_onnx(checkpoint(), tmp_path / "absent" / "model.onnx")
    with pytest.raises(FileNotFoundError, match="there is no checkpoint in"):
        export_onnx(tmp_path, tmp_path / "model.onnx")


def test_damaged_weights_are_refused(tmp_path):
    made = checkpoint()
    set_weights(made.model, {k: v * np.nan for k, v in weights_of(made.model).items()}, origin="the test")
    with pytest.raises(ExportError, match="the logits of resnet20 are not finite"):
        export_onnx(made, tmp_path / "model.onnx")


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_missing_packages_are_named(tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf'{package} is not installed; .*"zest_jax\[export\]"'):
        export_onnx(checkpoint(), tmp_path / "model.onnx")
