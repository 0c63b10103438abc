"""`zest export`."""

import json

import pytest

from zest_jax.models.registry import ModelConfig

pytest.importorskip("onnx")
pytest.importorskip("orbax.checkpoint")
from zest_jax.training import Checkpoint, CheckpointInfo, save_checkpoint


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = ModelConfig(name="resnet20", num_classes=10)
    info = CheckpointInfo(model=config, input_shape=(32, 32, 3), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), epoch=3)
    folder = tmp_path_factory.mktemp("runs") / "victim"
    save_checkpoint(folder, Checkpoint(config.build(seed=1), info))
    return folder


def test_the_exported_model_is_at_no_distance_from_the_run(zest, session, here, run):
    code, out, err = zest("export", run, "--to", "onnx")
    assert (code, out) == (0, "")
    assert "wrote victim.onnx: float32 [any, 32, 32, 3] (images from 0 to 1, channels last), logits within" in err
    assert [path.name for path in here.iterdir()] == ["victim.onnx"]
    code, out, _ = zest("compare", "victim.onnx", run, "--probes", session.probes, "--json", "--align", "none")
    assert code == 0
    assert json.loads(out)["distance"] == pytest.approx(0, abs=1e-6)


def test_one_checkpoint_and_another_name(zest, here, run):
    assert zest("export", run / "checkpoints" / "3", "--opset", "20")[0] == 0
    assert zest("export", f"{run}/", "-o", "other.onnx")[0] == 0
    assert {path.name for path in here.iterdir()} == {"victim-3.onnx", "other.onnx"}


def test_mix_ups_are_explained(zest, session, here, run, models):
    for arguments, expected, message in (
        (["nowhere"], 2, "there is no folder nowhere; give the run of `zest train`"),
        ([models["victim"]], 2, "is a file; give the folder of a run"),
        ([run.parent], 2, "there is no checkpoint in"),
        ([run, "-o", "no/x.onnx"], 2, "the folder no does not exist"),
        ([run, "-o", run], 2, "it is a folder; name a file"),
        ([run, "--opset", "3"], 2, "`--opset` is 3; give 18 to"),
        ([run, "--tolerance", "1e-15"], 1, "more than `--tolerance` 1.0e-15; nothing was written"),
        ([run, "--to", "tflite"], 2, "tflite"),
    ):
        code, out, err = zest("export", *arguments)
        assert (code, out) == (expected, ""), (arguments, err)
        assert message in err, arguments
        assert "Traceback" not in err
    assert list(here.iterdir()) == []
