"""Exit code 2 of every command for what cannot be: no such file, a file of another kind, options that contradict."""

import shutil

import numpy as np
import pytest

pytest.importorskip("lance")

# What takes the place of BAD, one after the other; each command refuses all that it is not named to take below.
BAD = ("nothing", "note.txt", "folder", "pool.npz", "probes.npz", "victim.sig", "victim.onnx", "models.store")
COMMANDS = {
    "probes": (["probes", "BAD", "-o", "x.npz"], ("note.txt", "pool.npz")),
    "sign": (["sign", "BAD", "--probes", "probes.npz", "-o", "x.sig"], ("victim.onnx",)),
    "sign --probes": (["sign", "victim.onnx", "--probes", "BAD", "-o", "x.sig"], ("probes.npz",)),
    "distance": (["distance", "victim.sig", "BAD"], ("victim.sig",)),
    "distance --unrelated": (["distance", "victim.sig", "victim.sig", "--unrelated", "BAD"], ("victim.sig",)),
    "compare": (["compare", "victim.onnx", "BAD", "--probes", "probes.npz"], ("victim.onnx",)),
    "compare --probes": (["compare", "victim.onnx", "victim.onnx", "--probes", "BAD"], ("probes.npz",)),
    "show": (["show", "BAD", "--no-picture"], ("victim.sig", "probes.npz")),
    "show --probes": (["show", "victim.sig", "--probes", "BAD"], ("probes.npz",)),
    "train": (["train", "--model", "resnet8", "--data", "BAD", "--recipe", "fast-cifar", "-o", "run"], ("pool.npz",)),
    "export": (["export", "BAD", "-o", "x.onnx"], ()),
    "reuse": (["reuse", "noise", "BAD", "--scale", "0.1", "-o", "run"], ()),
    "zoo build": (["zoo", "build", "BAD", "--out", "zoo"], ()),
    "zoo list": (["zoo", "list", "BAD"], ()),
    "sign-all": (
        ["sign-all", "BAD", "--probes", "probes.npz", "--store", "s"],
        ("victim.onnx", "note.txt", "pool.npz"),
    ),  # failures among many
    "sign-all --probes": (["sign-all", "victim.onnx", "--probes", "BAD", "--store", "s"], ("probes.npz",)),
    "store add": (["store", "add", "s", "BAD"], ("victim.sig",)),
    "store add to": (["store", "add", "BAD", "victim.sig"], ("nothing", "models.store", "folder")),
    "store list": (["store", "list", "BAD"], ("models.store",)),
    "store verify": (["store", "verify", "BAD"], ("models.store",)),
    "screen": (["screen", "BAD", "--store", "models.store"], ("victim.sig",)),
    "screen --store": (["screen", "victim.sig", "--store", "BAD"], ("models.store",)),
    "report": (["report", "BAD", "--store", "models.store", "-o", "x.html"], ("victim.sig",)),
    "report --models": (["report", "victim.sig", "--models", "BAD", "-o", "x.html"], ("victim.sig",)),
}


@pytest.fixture
def files(zest, session, models, here):
    """One of each kind in the current folder."""
    (here / "note.txt").write_text("hello\n")
    (here / "folder").mkdir()
    shutil.copy(session.pool, "pool.npz")
    shutil.copy(session.probes, "probes.npz")
    shutil.copy(session.signatures["victim"], "victim.sig")
    shutil.copy(models["victim"], "victim.onnx")
    assert zest("store", "add", "models.store", *session.signatures.values())[0] == 0
    return sorted(path.name for path in here.iterdir())


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_not_there_or_of_another_kind_is_wrong_use(zest, files, here, name):
    command, taken = COMMANDS[name]
    told = {}
    for bad in BAD:
        if bad in taken:
            continue
        code, out, err = zest(*(bad if word == "BAD" else word for word in command))
        if (code, out) != (2, "") or "error: " not in err or "Traceback" in err:
            told[bad] = (code, err[-300:])
    assert told == {}
    assert sorted(path.name for path in here.iterdir()) == files


def test_what_is_damaged_is_a_failure_and_no_wrong_use(zest, files, here):
    for name in ("victim.sig", "probes.npz", "victim.onnx"):
        content = (here / name).read_bytes()
        (here / name).write_bytes(content[: len(content) // 2])
    for command in (
        ["show", "victim.sig"],
        ["show", "probes.npz"],
        ["compare", "victim.onnx", "victim.onnx", "--inputs", "pool.npz"],
    ):
        code, _, err = zest(*command)
        assert code == 1, (command, err)


def test_images_of_another_shape_are_wrong_use(zest, files, here):
    np.savez(here / "small.npz", images=np.zeros((4, 3, 8, 8), np.uint8))
    assert zest("probes", "small.npz", "-o", "x.npz")[0] == 2
