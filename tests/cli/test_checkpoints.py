"""The folder of a run wherever the command line takes a model."""

import json
import shutil

import pytest

import zest_jax as zj
from zest_jax.models.registry import ModelConfig

pytest.importorskip("orbax.checkpoint")
from zest_jax.training.checkpoints import Checkpoint, CheckpointInfo
from zest_jax.training.run_folder import RunFolder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with checkpoints of the epochs 1 and 2."""
    config = ModelConfig(name="resnet20", num_classes=10)
    info = CheckpointInfo(model=config, input_shape=(32, 32, 3), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "victim")
    for epoch in (1, 2):
        folder.save(
            Checkpoint(config.build(seed=epoch), CheckpointInfo(**{**vars(info), "epoch": epoch, "dataset": "x"}))
        )
    folder.close()
    return folder.path


def test_a_run_is_signed_and_compared_like_a_file(zest, session, here, run):
    code, out, err = zest("sign", f"{run}/", "--probes", session.probes, "-o", "v.sig")
    assert (code, out) == (0, "")
    assert "victim: mean 0.5, 0.5, 0.5" in err
    assert zj.Signature.load("v.sig").label == "victim"
    first = run / "checkpoints" / "1"
    assert zest("sign", first, "--probes", session.probes, "-o", "first.sig")[0] == 0
    code, out, _ = zest("compare", run, first, "--probes", session.probes, "--json", "--align", "none")
    assert code == 0
    found = json.loads(out)
    assert [model["label"] for model in found["models"]] == ["victim", "victim epoch 1"]
    apart = zj.distance(zj.Signature.load("v.sig"), zj.Signature.load("first.sig"), align="none")
    assert found["distance"] == pytest.approx(apart, rel=1e-3)
    code, out, _ = zest("compare", run, run / "checkpoints" / "2", "--probes", session.probes, "--json")
    assert json.loads(out)["distance"] == pytest.approx(0, abs=1e-6)


def test_a_damaged_checkpoint_is_told(zest, session, here, run):
    shutil.copytree(run, "copy")
    shutil.rmtree("copy/checkpoints/2/model")
    code, _, err = zest("sign", "copy", "--probes", session.probes, "-o", "v.sig")
    assert code == 0
    assert "warning: " in err
    assert "checkpoints/2 is damaged" in err
    assert "taking the checkpoint of epoch 1" in err


def test_mix_ups_with_runs_are_explained(zest, session, here, run):
    sign = ["sign", run, "--probes", session.probes, "-o"]
    (here / "empty").mkdir()
    for arguments, expected, message in (
        ([*sign, "x.sig", "--mean", "0.5"], 2, "mean cannot be set for a checkpoint"),
        ([*sign, "x.sig", "--factory", "m:f"], 2, "leave out `--factory`"),
        ([*sign, run], 2, "it is a folder; name a file"),
        (["sign", here / "empty", *sign[2:], "x.sig"], 2, "is a folder, not a model file"),
        (["sign", run.parent, *sign[2:], "x.sig"], 2, "give one of the runs in it: victim"),
        (["sign", "nowhere/", *sign[2:], "x.sig"], 2, "there is no file nowhere"),
        (["distance", run, session.signatures["victim"]], 2, "is a model, not a signature; sign it first: `zest sign"),
        (["sign", run, "--probes", run, "-o", "x.sig"], 2, "is a folder; give a file"),
    ):
        code, out, err = zest(*arguments)
        assert (code, out) == (expected, ""), (arguments, err)
        assert message in err, arguments
        assert "Traceback" not in err
