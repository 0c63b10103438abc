"""What a store holds under a model's name: the same, another file, or the same file asked otherwise."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zest_jax as zj
from zest_jax.many import Job, sign_all
from zest_jax.many.models import identity_of
from zest_jax.many.present import differences
from zest_jax.screening import Store

pytest.importorskip("lance")
PLAIN = {"adapter": "onnx", "mean": None, "std": None, "value_range": [0.0, 1.0], "layout": "NCHW", "rate": None}
PLAIN |= {"output": "scores", "returns": "auto", "input_dtype": "float32", "file_sha256": "0" * 64}


def stored(class_names: tuple[str, ...] | None = None, **noted: Any) -> zj.Signature:
    ones = np.ones((1, 2), np.float32)
    return zj.Signature(
        weights=ones,
        segment_counts=np.array([1], np.int32),
        r2=ones,
        variance=ones,
        probe_hash="0" * 64,
        label="m",
        class_names=class_names,
        settings={"model": {**PLAIN, **noted}},
    )


NORMALISED = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.2]}


@pytest.mark.parametrize(
    ("noted", "load", "different"),
    [
        ({}, {}, []),
        ({}, {"mean": (0.5,), "std": (0.2,)}, ["mean", "std"]),
        (NORMALISED, {"mean": (0.5, 0.4, 0.3), "std": np.array([0.2, 0.2, 0.2])}, []),
        (NORMALISED, {"mean": (0.5, 0.4, 0.31), "std": (0.2, 0.2, 0.2)}, ["mean"]),
        (NORMALISED, {}, ["mean", "std"]),
        (NORMALISED, {"mean": None, "std": None}, ["mean", "std"]),
        # What the file tells is nobody's choice.
        (NORMALISED | {"adapter": "checkpoint", "rate": 8000}, {}, []),
        (NORMALISED | {"adapter": "checkpoint"}, {"mean": (0.1,), "layout": "NCHW"}, []),
        ({"adapter": "checkpoint"}, {"returns": "logits"}, ["returns"]),
        ({"value_range": [0.0, 255.0], "input_dtype": "uint8"}, {}, []),
        ({"value_range": [0.0, 255.0], "input_dtype": "uint8"}, {"mean": (0.5,)}, []),
        ({"value_range": [0.0, 255.0]}, {}, ["value_range"]),
        ({"value_range": [0.0, 255.0]}, {"value_range": (0, 255)}, []),
        ({}, {"value_range": (-1.0, 1.0)}, ["value_range"]),
        # What was found out, and is not given now.
        ({"layout": "NHWC", "rate": 8000, "returns": "logits"}, {}, []),
        ({}, {"layout": "NHWC"}, ["layout"]),
        ({}, {"layout": "NCHW", "returns": "auto", "threads": 4, "trust": True}, []),
        ({}, {"output": "features"}, ["output"]),
        ({}, {"output": 1}, []),
        ({"output": 0}, {"output": 1}, ["output"]),
        ({}, {"rate": 8000}, []),
        ({"rate": 16000}, {"rate": 8000}, ["rate"]),
    ],
)
def test_options_that_a_model_was_not_signed_with(noted, load, different):
    job = Job(name="m", model="m.onnx", load=load)
    assert [name for name, *_ in differences(job, stored(**noted))] == different


def test_class_names_that_were_given_count():
    job = Job(name="m", model="m.onnx", load={"class_names": ["a", "b"]})
    assert list(differences(job, stored(("a", "b")))) == []
    assert list(differences(job, stored(("a", "c")))) == [("class names", ("a", "c"), ("a", "b"))]
    assert list(differences(Job(name="m", model="m.onnx"), stored(("a", "b")))) == []


def test_a_black_box_made_in_code_may_have_a_mean_of_its_own():
    assert list(differences(Job(name="m", model="package.module:make"), stored(**NORMALISED))) == []


def test_a_model_of_texts_has_no_pixels():
    signature = stored()
    texts = dataclasses.replace(signature, settings={"model": {"adapter": "texts", "takes": "strings"}})
    assert list(differences(Job(name="m", model="m.onnx", load={"mean": (0.5,)}), texts)) == []


def test_the_same_file_asked_otherwise_is_told_of_and_kept(tmp_path, probes, real):
    job = dataclasses.replace(real[0], load={})
    sign_all([job], probes, tmp_path / "s")
    found = sign_all([real[0], real[1]], probes, tmp_path / "s")
    (failed,) = found.failed
    assert failed.error == (
        f"{tmp_path / 's'} holds {job.name} signed with mean none, now 0.485,0.456,0.406; std none, now 0.229,0.224,0.225: "
        "remove it first (`zest store remove`), or give the options it was signed with"
    )
    assert (failed.conflict, failed.tries, found.present) == (True, 0, ())
    assert [done.name for done in found.done] == [real[1].name]
    assert sign_all([job], probes, tmp_path / "s").present == (job.name,)
    Store.open(tmp_path / "s").remove([job.name])
    assert sign_all([real[0]], probes, tmp_path / "s").failed == ()


def test_another_file_under_a_name_that_is_taken_is_told_of(tmp_path, probes, real):
    shutil.copy(real[0].model, tmp_path / "m.onnx")
    job = dataclasses.replace(real[0], name="m", model=str(tmp_path / "m.onnx"))
    sign_all([job], probes, tmp_path / "s")
    shutil.copy(real[1].model, tmp_path / "m.onnx")
    (failed,) = sign_all([job], probes, tmp_path / "s").failed
    assert "holds the signature of another file under the name m (SHA-256 " in failed.error
    assert failed.conflict
    (tmp_path / "m.onnx").unlink()
    assert sign_all([job], probes, tmp_path / "s").present == ("m",)


def test_poor_fits_are_told_again(tmp_path, probes, real, monkeypatch):
    monkeypatch.setattr("zest_jax.many.driver.POOR_R2", 1.1)
    first = sign_all(real[:1], probes, tmp_path / "s")
    again = sign_all(real[:1], probes, tmp_path / "s")
    assert first.poor == pytest.approx(again.poor)
    assert tuple(again.poor) == again.present == (real[0].name,)


def save(folder: Path, epoch: int) -> str:
    """A checkpoint with weights of its own; returns its fingerprint."""
    pytest.importorskip("orbax.checkpoint")
    from zest_jax.models.registry import ModelConfig
    from zest_jax.training import Checkpoint, CheckpointInfo, save_checkpoint

    config = ModelConfig(name="resnet8", num_classes=10)
    info = CheckpointInfo(
        model=config, input_shape=(32, 32, 3), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), epoch=epoch
    )
    return save_checkpoint(folder, Checkpoint(config.build(seed=epoch), info)).fingerprint


def test_a_run_that_was_trained_on_is_not_taken_for_the_model_in_the_store(tmp_path, probes):
    run = tmp_path / "run"
    job = Job(name="m", model=str(run))
    first = save(run, 1)
    assert identity_of(str(run)) == identity_of(str(run / "checkpoints" / "1")) == first
    (stored,) = sign_all([job], probes, tmp_path / "s").done
    assert sign_all([job], probes, tmp_path / "s").present == ("m",)
    second = save(run, 2)
    assert identity_of(str(run)) == second
    (failed,) = sign_all([job], probes, tmp_path / "s").failed
    assert failed.conflict
    assert (
        f"holds the signature of other weights under the name m (fingerprint {first[:16]}, and {run} has"
        in failed.error
    )
    # Nothing but its older checkpoint can be read, which is what the store has.
    for file in (run / "checkpoints" / "2" / "model").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    assert sign_all([job], probes, tmp_path / "s").present == ("m",)
    assert stored.name == "m"


def test_a_checkpoint_of_other_weights_than_asked_for_is_refused(tmp_path, probes):
    save(tmp_path / "run", 1)
    job = Job(name="m", model=str(tmp_path / "run"), file_sha256="0" * 64)
    (failed,) = sign_all([job], probes, tmp_path / "s").failed
    assert "gave other weights here (SHA-256 " in failed.error
    assert "its training goes on; give every machine the same checkpoints" in failed.error


def test_no_more_signatures_are_held_than_there_is_room_for(tmp_path, probes, real, monkeypatch):
    sign_all(real, probes, tmp_path / "s")
    size = 4 * Store.open(tmp_path / "s").header.features * 10
    loaded, load = [], Store.load

    def noted(self, names):
        loaded.append(len(names))
        return load(self, names)

    monkeypatch.setattr(Store, "load", noted)
    for room, expected in ((2 * size, [2, 1]), (1, [1, 1, 1]), (100 * size, [3])):
        monkeypatch.setattr("zest_jax.many.present.READ_BYTES", room)
        loaded.clear()
        assert len(sign_all(real, probes, tmp_path / "s").present) == 3
        assert loaded == expected
    said = []
    monkeypatch.setattr("zest_jax.many.present.READ", 2)
    sign_all(real, probes, tmp_path / "s", say=said.append)
    assert said == [f"comparing 3 models with their signatures in {tmp_path / 's'}"]
