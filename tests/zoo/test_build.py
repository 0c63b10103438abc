"""Building zoos in processes, and going on after a kill."""

import dataclasses
import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.zoo.tiny import write_config
from zest_jax.errors import FileFormatError
from zest_jax.training import load_checkpoint, run_folder
from zest_jax.zoo import Data, ZooBuildError, build_zoo, read_index
from zest_jax.zoo.workbench import Workbench

CHILDREN = """z.Permute(name="permuted", of="victim", data=DATA, seed=1),
        z.Noise(name="noisy", of="permuted", data=DATA, scale=0.1),"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A victim and two generations after it, built by two processes at a time."""
    folder = tmp_path_factory.mktemp("built")
    said = []
    index = build_zoo(write_config(folder, more=CHILDREN), folder / "zoo", jobs=2, say=said.append)
    return folder, index, said


def test_every_model_is_there_with_its_lineage(built):
    folder, index, _ = built
    assert [entry.name for entry in index] == ["victim", "permuted", "noisy"]
    assert [entry.kind for entry in index] == ["train", "permute", "noise"]
    assert [tuple(entry.parents) for entry in index] == [(), ("victim",), ("permuted",)]
    victim, permuted, noisy = index
    assert [step.kind for step in noisy.lineage] == ["train", "permute", "noise"]
    assert [step.parent for step in noisy.lineage] == [None, victim.fingerprint, permuted.fingerprint]
    for entry in index:
        assert load_checkpoint(folder / "zoo" / entry.path).fingerprint == entry.fingerprint
    assert victim.epochs == [1]
    assert permuted.accuracy == victim.accuracy


def test_the_index_is_read_back(built):
    folder, index, _ = built
    assert [e.fingerprint for e in read_index(folder / "zoo")] == [e.fingerprint for e in index]
    content = json.loads((folder / "zoo" / "index.json").read_text())
    assert content["zoo"] == "tiny"


def test_what_happens_is_told(built):
    _, index, said = built
    assert any(text.startswith("[3/3] noisy: done in") for text in said)
    assert f"accuracy {index[0].accuracy:.2%}" in " ".join(said)


def test_what_is_there_is_not_made_again(built, monkeypatch):
    folder, _index, _ = built
    said = []

    def refuse(*args, **kwargs):
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    again = build_zoo(folder / "zoo.py", folder / "zoo", say=said.append)
    assert again == read_index(folder / "zoo")
    assert said == ["3 of 3 models are there already"]


def test_other_settings_are_refused(built, tmp_path):
    folder, _, _ = built
    shutil.copytree(folder / "zoo", tmp_path / "zoo")
    config = write_config(tmp_path, seed=1, more=CHILDREN)
    config.write_text(config.read_text().replace(str(tmp_path / "tiny.npz"), str(folder / "tiny.npz")))
    with pytest.raises(ValueError, match="victim was made with other settings"):
        build_zoo(config, tmp_path / "zoo")


def test_only_some_are_built_with_what_they_come_from(built, tmp_path):
    folder, _, _ = built
    (tmp_path / "zoo").mkdir()
    shutil.copytree(folder / "zoo" / "victim", tmp_path / "zoo" / "victim")
    index = build_zoo(folder / "zoo.py", tmp_path / "zoo", only=("permuted",), jobs=1)
    assert [entry.name for entry in index] == ["victim", "permuted"]
    with pytest.raises(ValueError, match="no model 'other'"):
        build_zoo(folder / "zoo.py", tmp_path / "zoo", only=("other",))


def test_a_failure_stops_only_what_comes_from_it(built, tmp_path):
    folder, _, _ = built
    (tmp_path / "zoo").mkdir()
    shutil.copytree(folder / "zoo" / "victim", tmp_path / "zoo" / "victim")
    more = """z.Noise(name="bad", of="victim", data=DATA, scale=-1.0),
        z.Permute(name="after-bad", of="bad", seed=0),
        z.Permute(name="good", of="victim", seed=0),"""
    config = write_config(tmp_path, more=more)
    config.write_text(config.read_text().replace(str(tmp_path / "tiny.npz"), str(folder / "tiny.npz")))
    with pytest.raises(ZooBuildError, match=r"2 of 4 models.*bad: ValueError: `scale` is -1.*it is made from bad"):
        build_zoo(config, tmp_path / "zoo", jobs=2)
    assert [entry.name for entry in read_index(tmp_path / "zoo")] == ["victim", "good"]


def test_killed_in_the_middle_of_a_training_it_goes_on_to_the_same_models(tmp_path):
    """The build is killed after the first of 40 epochs, and its worker ends by itself; compared with an undisturbed build."""
    config = write_config(tmp_path, epochs=40, more='z.Permute(name="permuted", of="victim", seed=1),')
    code = f"from zest_jax.zoo import build_zoo; build_zoo({str(config)!r}, {str(tmp_path / 'zoo')!r}, jobs=1)"
    process = subprocess.Popen([sys.executable, "-c", code])
    checkpoints = tmp_path / "zoo" / "victim" / "checkpoints"
    try:
        deadline = time.monotonic() + 300
        while not (checkpoints / "1").is_dir():
            assert process.poll() is None, "the build ended early"
            assert time.monotonic() < deadline, "no checkpoint appeared"
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    assert not (tmp_path / "zoo" / "index.json").exists()
    index = build_zoo(config, tmp_path / "zoo", jobs=1)
    lines = (tmp_path / "zoo" / "victim" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(1, 41))
    undisturbed = build_zoo(config, tmp_path / "other", jobs=1)
    assert [dataclasses.replace(e, seconds=0) for e in index] == [
        dataclasses.replace(e, seconds=0) for e in undisturbed
    ]


def test_two_builds_in_one_folder_are_refused(built, monkeypatch):
    folder, _, _ = built
    monkeypatch.setattr(run_folder, "_PATIENCE", 0.1)
    with (
        run_folder.locked(folder / "zoo"),
        pytest.raises(run_folder.FolderInUseError, match="another process works in"),
    ):
        build_zoo(folder / "zoo.py", folder / "zoo")


def test_an_entry_with_other_settings_does_not_stop_the_others(built, tmp_path):
    folder, _, _ = built
    shutil.copytree(folder / "zoo", tmp_path / "zoo")
    changed = (folder / "zoo.py").read_text().replace("scale=0.1", "scale=0.2")
    (tmp_path / "zoo.py").write_text(changed)
    index = build_zoo(tmp_path / "zoo.py", tmp_path / "zoo", only=("permuted",))
    assert [entry.name for entry in index] == ["victim", "permuted"]
    with pytest.raises(ValueError, match="noisy was made with other settings"):
        build_zoo(tmp_path / "zoo.py", tmp_path / "zoo")


def test_nothing_is_made_from_a_model_that_is_no_longer_the_same(built, tmp_path):
    folder, _, _ = built
    shutil.copytree(folder / "zoo" / "victim", tmp_path / "victim")
    assert Workbench(tmp_path).model("victim").info.epoch == 1
    made = json.loads((tmp_path / "victim" / "made.json").read_text())
    (tmp_path / "victim" / "made.json").write_text(json.dumps({**made, "fingerprint": "0" * 64}))
    with pytest.raises(FileFormatError, match="victim does not hold the model that was made there"):
        Workbench(tmp_path).model("victim")


class TestData:
    """What entries are trained and measured on."""

    def arrays(self, folder, **arrays):
        np.savez(folder / "data.npz", **arrays)
        return str(folder / "data.npz")

    def images(self, n, seed=0):
        return np.random.default_rng(seed).integers(0, 256, (n, 4, 4, 3), dtype=np.uint8)

    def test_the_test_split_has_the_scales_of_the_training_data(self, tmp_path):
        arrays = {"x_train": self.images(8), "y_train": np.arange(8) % 4, "x_test": self.images(4, 1)}
        source = self.arrays(tmp_path, **arrays, y_test=np.arange(4))
        data = Data(source=source, classes=(3, 1))
        train, test = data.load(), data.load_test()
        assert (len(train), len(test)) == (4, 2)
        assert (test.mean, test.std, test.class_names) == (train.mean, train.std, train.class_names)
        assert test.labels.tolist() == [1, 0]

    def test_data_without_a_test_split_are_not_measured_on_themselves(self, tmp_path):
        source = self.arrays(tmp_path, images=self.images(8), labels=np.arange(8) % 2)
        assert Data(source=source).load_test() is None
        (tmp_path / "more").mkdir()
        other = self.arrays(tmp_path / "more", images=self.images(6, 1), labels=np.arange(6) % 2)
        assert len(Data(source=source, test=other).load_test()) == 6


def test_jobs_below_one_are_refused(tmp_path):
    with pytest.raises(ValueError, match="`jobs` is 0"):
        build_zoo(write_config(tmp_path), tmp_path / "zoo", jobs=0)


def test_a_folder_without_an_index_says_how_to_make_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="zest zoo build"):
        read_index(tmp_path)
