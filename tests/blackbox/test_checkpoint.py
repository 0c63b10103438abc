"""`from_checkpoint`, and folders given to `load_model`."""

import shutil
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from tests.worlds import make_probes
from zest_jax import distance, from_flax, sign
from zest_jax.blackbox import FileKind, from_checkpoint, from_onnx, load_model, recognise
from zest_jax.errors import FileFormatError, MissingExtraError, ProbeMismatchError
from zest_jax.models.registry import ModelConfig

pytest.importorskip("orbax.checkpoint")
from zest_jax.training.checkpoints import Checkpoint, CheckpointInfo
from zest_jax.training.run_folder import RunFolder, save_checkpoint

MEAN, STD, NAMES = (0.5, 0.4, 0.3), (0.25, 0.2, 0.3), ("cat", "dog", "owl")


def checkpoint(seed=1, *, name="resnet20", shape=(8, 8, 3), epoch=0, **options):
    config = ModelConfig(name=name, num_classes=3, options=options)
    channels = shape[-1] if len(shape) == 3 else 0
    info = CheckpointInfo(
        model=config, input_shape=shape, mean=MEAN[:channels], std=STD[:channels], class_names=NAMES, epoch=epoch
    )
    return Checkpoint(config.build(seed=seed), info)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with checkpoints of the epochs 1 and 2."""
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "victim")
    for epoch in (1, 2):
        folder.save(checkpoint(seed=epoch, epoch=epoch))
    folder.close()
    return folder.path


def test_plain_inputs_are_normalised_as_in_training(run, images):
    box = load_model(run)
    expected = checkpoint(seed=2).model(jnp.asarray((images - np.float32(MEAN)) / np.float32(STD)))
    np.testing.assert_allclose(box(images), expected, atol=1e-5)
    assert (box.label, box.class_names, box.spec.mean) == ("victim", NAMES, MEAN)


def test_stored_pixels_get_the_answers_of_the_checkpoint_itself(images):
    made = checkpoint()
    stored = np.rint(images * 255).astype(np.uint8)
    box = from_checkpoint(made)
    np.testing.assert_allclose(box(stored.astype(np.float32) / 255), made.outputs(stored), atol=1e-5)
    assert (box.label, box.settings["file_sha256"]) == ("resnet20", made.fingerprint)


def test_one_epoch_of_a_run_has_its_own_label_and_identity(run):
    newest, first, last = load_model(run), load_model(run / "checkpoints" / "1"), load_model(run / "checkpoints" / "2")
    assert (first.label, last.label) == ("victim epoch 1", "victim epoch 2")
    assert newest.settings["file_sha256"] == last.settings["file_sha256"] != first.settings["file_sha256"]
    assert (first.settings["epoch"], newest.settings["epoch"]) == (1, 2)


def test_settings_of_the_caller_come_first(run):
    box = load_model(str(run), label="mine", class_names=["a", "b", "c"], returns="logits")
    assert (box.label, box.class_names, box.returns) == ("mine", ("a", "b", "c"), "logits")


def test_a_folder_is_named_also_from_inside(run, monkeypatch):
    monkeypatch.chdir(run)
    assert load_model(".").label == "victim"


def test_runs_of_one_architecture_share_one_compilation(run):
    assert from_checkpoint(run).apply == from_checkpoint(run / "checkpoints" / "1").apply


def test_signatures_of_a_run_and_of_its_model_are_the_same(run):
    probes = make_probes()
    box = from_flax(checkpoint(seed=2).model, mean=MEAN, std=STD)
    assert distance(sign(load_model(run), probes), sign(box, probes), align="none") < 1e-6
    assert distance(sign(load_model(run / "checkpoints" / "1"), probes), sign(box, probes), align="none") > 1e-2


def test_a_signing_is_continued_only_with_the_same_weights(run, tmp_path):
    probes, partial = make_probes(), tmp_path / "x.partial"
    sign(load_model(run), probes, checkpoint=partial)
    assert partial.exists()
    sign(load_model(run / "checkpoints" / "2", label="victim"), probes, checkpoint=partial)
    with pytest.raises(ProbeMismatchError, match="belongs to another run"):
        sign(load_model(run / "checkpoints" / "1", label="victim"), probes, checkpoint=partial)


def test_a_damaged_checkpoint_falls_back_with_a_warning(run, tmp_path, images):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    shutil.rmtree(copy / "checkpoints" / "2" / "model")
    with pytest.warns(UserWarning, match=r"checkpoints/2 is damaged .* taking the checkpoint of epoch 1"):
        box = load_model(copy)
    np.testing.assert_array_equal(box(images), load_model(run / "checkpoints" / "1")(images))


def test_folders_are_recognised(run, tmp_path):
    assert recognise(run) is recognise(run / "checkpoints" / "1") is FileKind.CHECKPOINT
    with pytest.raises(FileFormatError, match=r"folder, not a model file; give the run .*victim, or one checkpoint"):
        load_model(run / "checkpoints")
    with pytest.raises(FileFormatError, match="folder, not a model file; give one of the runs in it: victim"):
        load_model(run.parent)
    with pytest.raises(FileFormatError, match="folder, not a model file; give the model file in it, or a run of"):
        load_model(tmp_path)
    with pytest.raises(FileFormatError, match="folder, not a model file; it holds a checkpoint: open it with"):
        from_onnx(run)
    (tmp_path / "begun" / "checkpoints").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="there is no checkpoint in .*begun"):
        load_model(tmp_path / "begun")


def test_settings_that_do_not_apply_are_named(run):
    with pytest.raises(ValueError, match=r"mean, std cannot be set for a checkpoint, .*; it takes class_names, label"):
        load_model(run, mean=(0.5,), std=(0.5,))
    with pytest.raises(ValueError, match="is a checkpoint, which tells its architecture; leave out `factory`"):
        load_model(run, factory="module:build")


def test_text_models_need_their_tokenizer(tmp_path):
    save_checkpoint(tmp_path / "news", checkpoint(name="lstm", shape=(12,), vocabulary=20, embedding=4, hidden=4))
    with pytest.raises(ValueError, match=r"news takes token ids, and its checkpoint has no tokenizer"):
        load_model(tmp_path / "news")


@pytest.mark.usefixtures("unchecked_types")
def test_audio_models_say_that_they_take_no_images(images):
    box = from_checkpoint(checkpoint(name="m5", shape=(2000,), widths=(4, 4, 4, 4)))
    with pytest.raises(ValueError, match=r"an input has shape \(8, 8, 3\); m5 takes raw audio"):
        box(images)
    assert box(np.zeros((2, 2000), np.float32)).shape == (2, 3)


def test_orbax_is_asked_for_when_it_is_missing(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "orbax.checkpoint", None)
    monkeypatch.delitem(sys.modules, "zest_jax.training.checkpoints")
    with pytest.raises(MissingExtraError, match=r'orbax-checkpoint is not installed; .*"zest_jax\[train\]"'):
        load_model(run)
