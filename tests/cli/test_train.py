"""`zest train`."""

import json
import sys
import types

import numpy as np
import pytest

pytest.importorskip("optax")
pytest.importorskip("orbax.checkpoint")
from zest_jax.training.checkpoints import load_checkpoint

BRIEF = ["--model", "resnet20", "--recipe", "fast-cifar", "--epochs", "1", "--batch-size", "8"]


def pets(path, n=32, *, size=8, channels=3, names=("cat", "dog"), seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % len(names)
    images = rng.integers(0, 100, (n, size, size, channels)) + 100 * (labels % 2)[:, None, None, None]
    np.savez(path, images=images.astype(np.uint8), labels=labels, class_names=np.array(names))
    return path


@pytest.fixture
def data(here):
    pets(here / "test.npz", 16, seed=1)
    return pets(here / "pets.npz")


@pytest.fixture
def asked(monkeypatch):
    """Stands for the training: keeps what it is asked to do, and does nothing."""
    calls = []

    def train(config, dataset, recipe, **settings):
        calls.append(types.SimpleNamespace(config=config, data=dataset, recipe=recipe, **settings))
        info = types.SimpleNamespace(accuracy=0.5, epoch=recipe.epochs)
        return types.SimpleNamespace(checkpoint=types.SimpleNamespace(info=info, fingerprint="f00d", path=None))

    def train_seeds(config, dataset, recipe, *, seeds, **settings):
        return [train(config, dataset, recipe, seed=seed, **settings) for seed in seeds]

    monkeypatch.setitem(sys.modules, "zest_jax.training.loop", types.SimpleNamespace(train=train))
    monkeypatch.setitem(sys.modules, "zest_jax.training.seeds", types.SimpleNamespace(train_seeds=train_seeds))
    return calls


def test_a_run_is_trained_once_and_belongs_to_its_seed(zest, session, here, data):
    command = ["train", "--data", data, *BRIEF, "--test", "test.npz", "-o", "runs/victim"]
    code, out, err = zest(*command)
    assert code == 0, err
    made = load_checkpoint(here / "runs" / "victim")
    accuracy = f"{made.info.accuracy:.2%}"
    assert out == f"runs/victim: accuracy {accuracy}, epoch 1, fingerprint {made.fingerprint}\n"
    assert "resnet20 on 32 inputs of pets in 2 classes, tested on 16" in err
    assert (made.info.class_names, made.info.seed, made.info.input_shape) == (("cat", "dog"), 0, (8, 8, 3))
    assert zest(*command)[:2] == (0, out)
    code, out, err = zest(*command, "--seed", "1")
    assert (code, out) == (2, ""), err
    assert "runs/victim" in err
    assert load_checkpoint(here / "runs" / "victim").fingerprint == made.fingerprint

    code, _, err = zest("sign", "runs/victim", "--probes", session.probes, "-o", "v.sig")
    assert code == 0, err


def test_several_seeds_have_folders_of_their_own(zest, here, data):
    code, out, err = zest("train", "--data", data, *BRIEF, "--seeds", "3", "4", "-o", "victims")
    assert code == 0, err
    lines = out.splitlines()
    folders = [line.partition(":")[0] for line in lines]
    assert len(set(folders)) == 2
    assert [load_checkpoint(folder).info.seed for folder in folders] == [3, 4]
    assert all("accuracy not measured, epoch 1" in line for line in lines)


def test_settings_reach_the_training(zest, here, data, asked):
    options = ["--dtype", "bfloat16", "--save-every", "2", "--option", "stem=cifar", "--seed", "7", "--no-progress"]
    command = ["train", "--model", "resnet18", "--data", data, "--recipe", "paper-cifar10", "--epochs", "3"]
    code, out, _ = zest(*command, *options, "--test", "test.npz", "-o", "run")
    assert (code, out) == (0, "run: accuracy 50.00%, epoch 3, fingerprint f00d\n")
    (call,) = asked
    assert (call.config.name, call.config.num_classes, call.config.options) == ("resnet18", 2, {"stem": "cifar"})
    assert (call.recipe.name, call.recipe.epochs, call.recipe.batch_size) == ("paper-cifar10", 3, 128)
    assert call.recipe.dtype == "bfloat16"
    assert (call.seed, str(call.folder), call.save_every, call.progress) == (7, "run", 2, False)
    assert len(call.test) == 16
    assert (call.test.mean, call.test.std) == (call.data.mean, call.data.std)


def test_seeds_are_trained_together(zest, here, data, asked):
    assert zest("train", "--data", data, *BRIEF, "--seeds", "0", "1", "-o", "runs")[0] == 0
    assert [call.seed for call in asked] == [0, 1]
    assert asked[0].test is None


def test_parts_of_the_data(zest, here, data, asked):
    pets(here / "three.npz", 30, names=("cat", "dog", "owl"))
    command = ["train", *BRIEF, "-o", "run", "--data"]
    assert zest(*command, "three.npz", "--test", "three.npz", "--subset", "owl,0")[0] == 0
    assert asked[-1].data.class_names == asked[-1].test.class_names == ("owl", "cat")
    assert (len(asked[-1].data), asked[-1].config.num_classes) == (20, 2)
    assert asked[-1].test.labels[:4].tolist() == [1, 0, 1, 0]

    assert zest(*command, data, "--fraction", "0.5")[0] == 0
    assert np.bincount(asked[-1].data.labels).tolist() == [8, 8]

    (here / "rows.txt").write_text("0\n2\n\n30\n")
    assert zest(*command, data, "--without", "rows.txt")[0] == 0
    whole = np.load(data)["images"]
    np.testing.assert_array_equal(asked[-1].data.inputs, np.delete(whole, [0, 2, 30], axis=0))


def test_another_split_of_an_array_file(zest, here, data, asked):
    train, test = np.load(data), np.load("test.npz")
    np.savez("both.npz", x_train=train["images"], y_train=train["labels"], x_test=test["images"], y_test=test["labels"])
    assert zest("train", *BRIEF, "--data", "both.npz", "--test-split", "test", "-o", "run")[0] == 0
    assert (len(asked[-1].data), len(asked[-1].test)) == (32, 16)


def test_a_known_data_set_brings_its_test_split(zest, here, data, asked, monkeypatch):
    import zest_jax.data

    real, read = zest_jax.data.load_dataset, []

    def load(source, *, split, **settings):
        read.append((source, split))
        found = real(data, **settings)
        return type(found)(**{**vars(found), "name": "imagenet2012"})

    monkeypatch.setattr(zest_jax.data, "load_dataset", load)
    code, _, err = zest("train", *BRIEF, "--data", "imagenet2012:5.1.0:train[:40]", "-o", "run")
    assert code == 0, err
    assert read == [("imagenet2012:5.1.0:train[:40]", "train"), ("imagenet2012:5.1.0", "validation")]
    assert zest("train", *BRIEF, "--data", "imagenet2012", "--test-split", "train[:9]", "-o", "run")[0] == 0
    assert read[2:] == [("imagenet2012", "train"), ("imagenet2012", "train[:9]")]


def test_mistakes_are_explained_before_anything_is_written(zest, here, data, asked):
    pets(here / "other.npz", names=("cat", "bird"))
    pets(here / "large.npz", size=16)
    (here / "rows.txt").write_text("1\nfive\n")
    (here / "many.txt").write_text("99\n")
    before = {path.name for path in here.iterdir()}
    good = {"--model": "resnet20", "--data": data, "--recipe": "fast-cifar", "-o": "run"}
    for changes, message in (
        ({"--model": "resnet19"}, "no model is named 'resnet19'; choose resnet8, resnet20"),
        ({"--recipe": "slow"}, "there is no recipe 'slow'; choose audio, fast-cifar"),
        ({"--data": "cifar11"}, "Data sets known by name: cifar10, cifar100"),
        ({"--data": "nowhere/"}, "nowhere"),
        ({"--option": "stem=cifar"}, "resnet20 has no option 'stem'; its options are width, in_channels"),
        ({"--option": "stem"}, "has no NAME=VALUE form"),
        ({"--epochs": "0"}, "`--epochs` is 0; give at least 1"),
        ({"--dtype": "float16"}, "float16"),
        ({"--test": "other.npz"}, "test data have 2 classes (cat, bird), the training data 2 (cat, dog)"),
        ({"--test": "large.npz"}, "test inputs have shape (16, 16, 3), training inputs (8, 8, 3); bring images to"),
        ({"--subset": "cat,owl"}, "pets has no class 'owl'; its 2 classes, from 0: cat, dog"),
        ({"--subset": "cat"}, "needs at least 2"),
        ({"--fraction": "2"}, "2.0; give a fraction above 0 and up to 1"),
        ({"--without": "rows.txt"}, "line 2 of rows.txt is 'five', not a row number from 0"),
        ({"--without": "many.txt"}, "1 of 1 rows are out of range (99); the rows of pets go from 0 to 31"),
        ({"--without": "none.txt"}, "there is no file none.txt"),
        ({"--without": "many.txt", "--fraction": "0.5"}, "--fraction and --without contradict each other"),
        ({"--seeds": "3 3"}, "--seeds names a seed twice: 3 3"),
        ({"-o": "rows.txt"}, "--output rows.txt is a file; name a folder"),
    ):
        words = [word for name, value in {**good, **changes}.items() for word in (name, *str(value).split())]
        code, out, err = zest("train", *words)
        assert (code, out) == (2, ""), (changes, err)
        assert message in " ".join(err.replace("│", " ").split()), (changes, err)
        assert "Traceback" not in err
    assert {path.name for path in here.iterdir()} == before
    assert asked == []


def test_images_that_the_model_cannot_take_are_refused(zest, here):
    pets(here / "grey.npz", channels=1)
    code, out, err = zest("train", "--data", "grey.npz", *BRIEF, "-o", "run")
    assert (code, out) == (2, ""), err
    assert "images have 1 channels" in err
    assert "in_channels=1" in err


def test_images_are_streamed(zest, here, asked):
    from PIL import Image

    rng = np.random.default_rng(0)
    for i in range(12):
        path = here / "photos" / ("cat", "dog")[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (9, 10, 3), dtype=np.uint8)).save(path)
    command = ["train", *BRIEF, "--data", "photos", "--size", "8", "--stream", "-o", "run"]
    code, _, err = zest(*command, "--test", "photos")
    assert code == 0, err
    assert "resnet20 on 12 inputs of photos in 2 classes, tested on 12" in err
    (call,) = asked
    assert (call.data.batch_size, call.data.size, call.config.num_classes) == (8, (8, 8), 2)
    assert next(call.data).images.shape == (8, 8, 8, 3)
    call.data.close()
    for more, message in (
        (["--fraction", "0.5"], "--stream reads all of the data, and --fraction asks for a part"),
        (["--shards", "2"], "--shards and --stream contradict each other"),
    ):
        code, out, err = zest(*command, *more)
        assert (code, out) == (2, "")
        assert message in " ".join(err.split())


def test_an_interrupt_tells_how_to_go_on(zest, here, data, monkeypatch):
    def train(*_, folder, **__):
        if folder.name == "some":
            (folder / "checkpoints" / "1").mkdir(parents=True)
        raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "zest_jax.training.loop", types.SimpleNamespace(train=train))
    code, out, err = zest("train", "--data", data, *BRIEF, "-o", "some")
    assert (code, out) == (1, "")
    assert "interrupted; what is done so far is in some: run the same command again to go on from there" in err
    code, _, err = zest("train", "--data", data, *BRIEF, "-o", "none")
    assert "interrupted; no checkpoint was written yet; the same command starts anew" in err


def test_help_names_every_model_and_recipe(zest):
    from zest_jax.models.registry import model_names
    from zest_jax.training.recipes import recipe_names

    code, out, _ = zest("train", "--help")
    assert code == 0
    assert "None" not in out
    text = " ".join(out.replace("│", " ").split())
    assert all(f" {name}" in text for name in (*model_names(), *recipe_names()))


def test_missing_packages_are_named(zest, here, data, monkeypatch):
    monkeypatch.setitem(sys.modules, "orbax.checkpoint", None)
    code, _, err = zest("train", "--data", data, *BRIEF, "-o", "run")
    assert code == 1
    assert 'orbax-checkpoint is not installed; install it with `pip install "zest_jax[train]"`' in err


def test_exports_of_a_run_are_at_no_distance_from_it(zest, session, here):
    pytest.importorskip("onnx")
    data = pets(here / "pets.npz", 16, size=32)
    assert zest("train", "--data", data, *BRIEF, "-o", "victim")[0] == 0
    assert zest("export", "victim")[0] == 0
    code, out, err = zest("compare", "victim", "victim.onnx", "--probes", session.probes, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["distance"] == pytest.approx(0, abs=1e-5)
    assert {model["label"] for model in found["models"]} == {"victim", "victim.onnx"}
