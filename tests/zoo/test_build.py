"""Building zoos in processes, and going on after a kill."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.zoo.tiny import write_config
from zest_jax.training import load_checkpoint
from zest_jax.zoo import ZooBuildError, build_zoo, read_index

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
    """The build and its worker are killed after the first of 40 epochs; the whole is compared with an undisturbed build."""
    config = write_config(tmp_path, epochs=40, more='z.Permute(name="permuted", of="victim", seed=1),')
    code = f"from zest_jax.zoo import build_zoo; build_zoo({str(config)!r}, {str(tmp_path / 'zoo')!r}, jobs=1)"
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    checkpoints = tmp_path / "zoo" / "victim" / "checkpoints"
    try:
        deadline = time.monotonic() + 300
        while not (checkpoints / "1").is_dir():
            assert process.poll() is None, "the build ended early"
            assert time.monotonic() < deadline, "no checkpoint appeared"
            time.sleep(0.02)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert not (tmp_path / "zoo" / "index.json").exists()
    index = build_zoo(config, tmp_path / "zoo", jobs=1)
    lines = (tmp_path / "zoo" / "victim" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(1, 41))
    undisturbed = build_zoo(config, tmp_path / "other", jobs=1)
    assert [dataclasses.replace(e, seconds=0) for e in index] == [
        dataclasses.replace(e, seconds=0) for e in undisturbed
    ]


def test_jobs_below_one_are_refused(tmp_path):
    with pytest.raises(ValueError, match="`jobs` is 0"):
        build_zoo(write_config(tmp_path), tmp_path / "zoo", jobs=0)


def test_a_folder_without_an_index_says_how_to_make_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="zest zoo build"):
        read_index(tmp_path)
