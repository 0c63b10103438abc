"""`zest reuse`, and the options of `zest train` that prepare for unlearning."""

import types

import numpy as np
import pytest

pytest.importorskip("optax")
pytest.importorskip("orbax.checkpoint")
from tests.cli.test_train import BRIEF, pets
from tests.making import images, untrained
from zest_jax import reuse
from zest_jax.reuse import sparsity_of
from zest_jax.training import load_checkpoint, save_checkpoint
from zest_jax.training.checkpoints import weights_of

TRAINED = ["--epochs", "1", "--batch-size", "8", "--data", "pets.npz", "--test", "pets.npz"]


@pytest.fixture
def victim(here):
    """The folder `victim`: a ResNet20 with random weights, of three classes; and data of three classes in `pets.npz`."""
    pets(here / "pets.npz", 24, names=("a", "b", "c"))
    return save_checkpoint(here / "victim", untrained())


@pytest.fixture
def asked(monkeypatch, victim):
    """Stands for the functions that train: keeps what they are asked to do."""
    calls = []

    def standing_for(name):
        def function(*arguments, **settings):
            calls.append(types.SimpleNamespace(name=name, arguments=arguments, **settings))
            bare = name in ("prune", "train_sisa", "unlearn_sisa")
            return victim if bare else types.SimpleNamespace(checkpoint=victim)

        return function

    for name in ("transfer", "fine_tune", "prune", "distill", "extract", "unlearn_exact", "unlearn_sisa", "train_sisa"):
        monkeypatch.setattr(reuse, name, standing_for(name))
    return calls


class TestWithoutTraining:
    def test_quantize(self, zest, here, victim):
        code, out, err = zest("reuse", "quantize", "victim", "--bits", "4", "--test", "pets.npz", "-o", "q")
        assert code == 0, err
        made = load_checkpoint(here / "q")
        assert out == f"q: accuracy {made.info.accuracy:.2%}, fingerprint {made.fingerprint}\n"
        assert made.fingerprint == reuse.quantize(victim, bits=4).fingerprint
        assert made.info.lineage[-1].settings == {"bits": 4}

    def test_noise_and_average(self, zest, here, victim):
        assert zest("reuse", "noise", "victim", "--scale", "0.1", "--seed", "3", "-o", "noisy")[0] == 0
        noisy = load_checkpoint(here / "noisy")
        assert noisy.fingerprint == reuse.add_noise(victim, scale=0.1, seed=3).fingerprint
        code, out, _ = zest("reuse", "average", "victim", "--other", "noisy", "--weight", "0.25", "-o", "mean")
        assert code == 0
        assert "accuracy not measured" in out
        assert load_checkpoint(here / "mean").fingerprint == reuse.average(victim, noisy, weight=0.25).fingerprint

    def test_permute(self, zest, here, victim):
        assert zest("reuse", "permute", "victim", "--seed", "5", "-o", "p")[0] == 0
        made = load_checkpoint(here / "p")
        order = made.info.lineage[-1].settings["permutation"]
        inputs = images().inputs
        np.testing.assert_allclose(made.outputs(inputs), victim.outputs(inputs)[:, order], atol=1e-6)

    def test_quantize_onnx(self, zest, here, victim):
        pytest.importorskip("onnxruntime.quantization")
        assert zest("export", "victim")[0] == 0
        code, out, err = zest("reuse", "quantize-onnx", "victim.onnx", "-o", "int8.onnx")
        assert (code, out) == (0, "wrote int8.onnx\n"), err
        assert (here / "int8.onnx").stat().st_size < 0.5 * (here / "victim.onnx").stat().st_size


def test_pruning_trains_what_is_left(zest, here, victim):
    code, out, err = zest("reuse", "prune", "victim", "--sparsity", "0.5", *TRAINED, "-o", "pruned")
    assert code == 0, err
    assert "resnet20 of victim on 24 inputs of pets" in err
    made = load_checkpoint(here / "pruned")
    assert sparsity_of(made.model) == pytest.approx(0.5, abs=1e-4)
    assert f"accuracy {made.info.accuracy:.2%}" in out
    # Once more: it is there already.
    assert zest("reuse", "prune", "victim", "--sparsity", "0.5", *TRAINED, "-o", "pruned")[:2] == (0, out)


def test_what_was_recorded_is_unlearnt(zest, here):
    pets(here / "pets.npz")
    (here / "rows.txt").write_text("0\n5\n")
    command = ["train", "--data", "pets.npz", *BRIEF, "-o", "run"]
    assert zest(*command, "--record", "rows.txt")[0] == 0
    code, out, err = zest("reuse", "unlearn-amnesiac", "run", "--test", "pets.npz", "-o", "forgot")
    assert code == 0, err
    made, before = load_checkpoint(here / "forgot"), load_checkpoint(here / "run")
    assert f"fingerprint {made.fingerprint}" in out
    assert made.fingerprint == reuse.unlearn_amnesiac(here / "run").fingerprint
    assert not np.array_equal(weights_of(made.model)["head.kernel"], weights_of(before.model)["head.kernel"])
    code, _, err = zest(*command[:-1], "plain")
    assert code == 0, err
    code, out, err = zest("reuse", "unlearn-amnesiac", "plain", "-o", "other")
    assert (code, out) == (2, "")
    assert "recorded no updates" in err


class TestSettings:
    """What is asked of the functions that train."""

    def common(self, call, folder):
        assert (str(call.folder), call.seed, call.progress) == (folder, 4, False)
        assert (call.test.mean, len(call.test)) == (call.arguments[1].mean, 24)

    def test_transfer(self, zest, asked):
        more = ["--share", "10", "--seed", "4", "--no-progress", "-o", "t"]
        assert zest("reuse", "transfer", "victim", *TRAINED, *more)[0] == 0
        assert zest("reuse", "transfer", "victim", *TRAINED, *more, "--keep-head")[0] == 0
        assert [call.name for call in asked] == ["transfer", "fine_tune"]
        for call in asked:
            self.common(call, "t")
            assert call.share == 10
            recipe = call.arguments[2]
            assert (recipe.name, recipe.epochs, recipe.batch_size) == ("fine-tune", 1, 8)

    def test_distill(self, zest, asked):
        more = ["--weight", "2", "--seed", "4", "--no-progress", "-o", "d", "--save-every", "3", "--dtype", "bfloat16"]
        more += ["--model", "resnet18", "--option", "stem=cifar"]
        assert zest("reuse", "distill", "victim", *TRAINED, *more)[0] == 0
        self.common(asked[0], "d")
        assert (asked[0].weight, asked[0].save_every) == (2, 3)
        recipe, config = asked[0].arguments[2], asked[0].config
        assert (recipe.name, recipe.dtype) == ("fast-cifar", "bfloat16")
        assert (config.name, config.num_classes, config.options) == ("resnet18", 3, {"stem": "cifar"})

    def test_extract(self, zest, asked, victim):
        more = ["--answers", "probabilities", "--model", "resnet32", "--adversarial-rounds", "2", "--seed", "4"]
        assert zest("reuse", "extract", "victim", *TRAINED, *more, "--no-progress", "-o", "e")[0] == 0
        (call,) = asked
        self.common(call, "e")
        assert call.arguments[0].fingerprint == victim.fingerprint
        assert (call.answers, call.adversarial_rounds, call.epsilon) == ("probabilities", 2, 8 / 255)
        assert (call.config.name, call.config.num_classes) == ("resnet32", 3)

    def test_the_victim_of_an_extraction_may_be_any_model(self, zest, asked, models, normalise):
        command = ["reuse", "extract", models["victim"], *TRAINED, *normalise, "--size", "32", "-o", "e"]
        assert zest(*command, "--model", "resnet20")[0] == 0
        assert asked[0].arguments[0].label == "victim"
        assert (asked[0].config.name, asked[0].config.num_classes) == ("resnet20", 10)
        code, _, err = zest(*command)
        assert code == 2
        assert "does not tell its architecture; give --model" in err

    def test_unlearn(self, zest, here, asked):
        (here / "rows.txt").write_text("3\n1\n")
        more = ["--rows", "rows.txt", "--seed", "4", "--no-progress", "-o", "u"]
        assert zest("reuse", "unlearn", "victim", *TRAINED, *more)[0] == 0
        assert asked[0].arguments[2] == [3, 1]
        assert (str(asked[0].folder), asked[0].seed) == ("u", 4)

    def test_shards(self, zest, here, asked):
        (here / "rows.txt").write_text("3\n")
        assert zest("train", "--data", "pets.npz", *BRIEF, "--shards", "3", "--seed", "4", "-o", "s")[0] == 0
        assert zest("reuse", "unlearn-sisa", "victim", "--data", "pets.npz", "--rows", "rows.txt", "-o", "u")[0] == 0
        trained, unlearnt = asked
        assert (trained.name, trained.shards, trained.seed, str(trained.folder)) == ("train_sisa", 3, 4, "s")
        assert (unlearnt.name, unlearnt.arguments[2], str(unlearnt.folder)) == ("unlearn_sisa", [3], "u")


def test_mistakes_are_explained(zest, here, victim, models):
    (here / "rows.txt").write_text("99\n")
    (here / "words.txt").write_text("one\n")
    for command, message in (
        (["quantize", "nowhere", "-o", "x"], "nowhere does not exist; give the folder of a run of `zest train`"),
        (["quantize", str(models["victim"]), "-o", "x"], "victim.onnx is a file; give the folder of a run"),
        (["quantize", "victim", "--bits", "9", "-o", "x"], "9; give 2 to 8"),
        (["quantize", "victim", "-o", "victim"], "victim holds another model"),
        (["distill", "victim", "--option", "stem=cifar", *TRAINED, "-o", "x"], "--option needs --model"),
        (["quantize", "victim", "-o", "rows.txt"], "--output rows.txt is a file; name a folder"),
        (["noise", "victim", "--scale", "0", "-o", "x"], "0.0; give a number above 0"),
        (["average", "victim", "--other", "none", "-o", "x"], "none does not exist"),
        (["average", "victim", "--other", "victim", "--weight", "1", "-o", "x"], "1.0; give the share of the second"),
        (
            ["prune", "victim", "--sparsity", "1", *TRAINED, "-o", "x"],
            "1; give the share of weights to remove, above 0",
        ),
        (["prune", "victim", "--sparsity", "50", *TRAINED, "-o", "x"], "for 50% give 0.5"),
        (["transfer", "victim", "--share", "0", *TRAINED, "-o", "x"], "0.0; give the percentage of parameter tensors"),
        (["unlearn", "victim", "--rows", "rows.txt", *TRAINED, "-o", "x"], "rows are out of range (99)"),
        (["unlearn", "victim", "--rows", "words.txt", *TRAINED, "-o", "x"], "line 1 of words.txt is 'one'"),
        (["unlearn-sisa", "victim", "--rows", "rows.txt", "--data", "pets.npz", "-o", "x"], "was not trained by"),
        (["extract", "victim", "--model", "resnet19", *TRAINED, "-o", "x"], "no model is named 'resnet19'"),
        (["transfer", "victim", *TRAINED, "--recipe", "slow", "-o", "x"], "there is no recipe 'slow'"),
    ):
        code, out, err = zest("reuse", *command)
        assert (code, out) == (2, ""), (command, err)
        assert message in " ".join(err.replace("│", " ").split()), (command, err)
        assert "Traceback" not in err
        assert not (here / "x").exists(), command
    command = ["train", "--data", "pets.npz", *BRIEF, "-o", "x"]
    for options, message in (
        (["--record", "rows.txt", "--shards", "2"], "--record and --shards contradict each other; choose one"),
        (["--seeds", "1", "2", "--shards", "2"], "--seeds and --shards contradict each other; choose one"),
        (["--shards", "2", "--save-every", "1"], "--shards and --save-every contradict each other"),
        (["--shards", "1"], "1; give 2 to 24"),
        (["--record", "rows.txt"], "rows are out of range (99)"),
    ):
        code, out, err = zest(*command, *options)
        assert (code, out) == (2, ""), (options, err)
        assert message in " ".join(err.split()), (options, err)
        assert not (here / "x").exists(), options


def test_every_kind_of_reuse_has_a_command(zest):
    code, out, _ = zest("reuse", "--help")
    assert code == 0
    kinds = "transfer prune quantize quantize-onnx distill extract unlearn unlearn-amnesiac unlearn-sisa permute noise average"
    assert all(f"• {kind} " in out for kind in kinds.split())


def test_a_damaged_checkpoint_says_so(zest, here, victim, monkeypatch):
    for path in (here / "victim" / "checkpoints").rglob("*"):
        if path.is_file() and path.stat().st_size > 10_000:
            path.write_bytes(path.read_bytes()[:100])
    code, out, err = zest("reuse", "quantize", "victim", "-o", "x")
    assert (code, out) == (1, ""), err
    assert "no checkpoint of" in err
    assert "is damaged" in err
