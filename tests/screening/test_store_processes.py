"""Several processes, processes that are killed, disks that are full: nothing stored is lost."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from many_models import model

from zest_jax.errors import StoreError
from zest_jax.screening import Store, screen, verify

pytest.importorskip("lance")
TESTS = Path(__file__).parents[1]
# A hundred kilobytes each, so that writing takes a while.
COUNTS = np.array([3000, 3000], np.int32)


def big(name: str):
    return model(name, sum(map(ord, name)), counts=COUNTS)


PRELUDE = f"""
import sys
sys.path.insert(0, {str(TESTS)!r})
import numpy as np
from many_models import model
from zest_jax.errors import StoreError
from zest_jax.screening import Store
def big(name):
    return model(name, sum(map(ord, name)), counts=np.array([3000, 3000], np.int32))
"""


def start(program: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


ADD = """
store = Store.open(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for group in range(1000):
    names = [f"{sys.argv[2]}-{group}-{i}" for i in range(4)]
    store.add([big(name) for name in names])
    print(*names, flush=True)
"""


def test_writers_killed_at_any_point_lose_nothing(tmp_path):
    store = Store.create(tmp_path / "s", like=big("x"))
    store.add([big("before")])
    began = time.perf_counter()
    store.add([big(f"timed-{i}") for i in range(4)])
    length = time.perf_counter() - began
    promised = [entry.name for entry in store.entries()]
    delays = np.random.default_rng(0).uniform(0, length, 10)
    waiting = start(ADD, store.uri, 0)
    for i, delay in enumerate(delays):
        # The next one loads its modules meanwhile.
        writer, waiting = waiting, start(ADD, store.uri, i + 1)
        assert writer.stdout.readline() == "ready\n"
        writer.stdin.write("go\n")
        writer.stdin.flush()
        told = [writer.stdout.readline().split()]
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
        told += [line.split() for line in writer.stdout if line.endswith("\n")]
        assert writer.wait() == -signal.SIGKILL
        names = [entry.name for entry in store.latest().entries()]
        promised += [name for group in told for name in group]
        assert names[: len(promised)] == promised
        # What was not told of is a whole group or nothing.
        assert len(names) - len(promised) in (0, 4)
        promised = names
    waiting.kill()
    waiting.communicate()
    after = store.latest()
    assert list(verify(after)) == []
    for name, signature in zip(promised, after.load(promised), strict=True):
        np.testing.assert_array_equal(signature.weights, big(name).weights)
    # And the same additions go on.
    again = after.add([big(name) for name in (*promised, "new")])
    assert again.added == ("new",)
    assert set(again.present) == set(promised)


CREATE = """
print("ready", flush=True)
Store.create(sys.argv[1], like=big("x"))
print("done", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("delay", [0.0, 0.003])
def test_a_killed_creation_can_be_repeated(tmp_path, delay):
    maker = start(CREATE, tmp_path / "s")
    assert maker.stdout.readline() == "ready\n"
    time.sleep(delay)
    maker.kill()
    done = "done" in maker.communicate()[0]
    try:
        store = Store.open(tmp_path / "s")
    except FileNotFoundError:
        assert not done
        store = Store.create(tmp_path / "s", like=big("x"))
    assert store.add([big("a")]).added == ("a",)


WRITE_SHARED = """
store = Store.open(sys.argv[1])
me = sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
for i in range(3):
    store.add([big(f"{me}-{i}")])
    try:
        store.add([model(f"shared-{i}", int(me), counts=np.array([3000, 3000], np.int32))])
        print("won", i, flush=True)
    except StoreError as error:
        assert "another signature under the name" in str(error), error
"""


def test_two_writers_and_a_reader(tmp_path):
    store = Store.create(tmp_path / "s", like=big("x"))
    store.add([big("before")])
    writers = [start(WRITE_SHARED, store.uri, i) for i in range(2)]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    counts = []

    def read():
        while any(writer.poll() is None for writer in writers):
            view = store.latest()
            names = [entry.name for entry in view.entries()]
            assert len(set(names)) == len(names)
            found = screen(big("before"), view)
            assert (found.hits[0].entry.name, found.compared) == ("before", len(names))
            counts.append(len(names))

    reader = threading.Thread(target=read)
    reader.start()
    outputs = [writer.communicate() for writer in writers]
    reader.join()
    assert [writer.returncode for writer in writers] == [0, 0], outputs
    won = sorted(line.split()[1] for out, _ in outputs for line in out.splitlines())
    assert won == [str(i) for i in range(3)]
    names = [entry.name for entry in store.latest().entries()]
    expected = {"before", *(f"{i}-{j}" for i in range(2) for j in range(3)), *(f"shared-{j}" for j in range(3))}
    assert (len(names), set(names)) == (len(expected), expected)
    assert list(verify(store.latest())) == []
    assert counts == sorted(counts)


def test_two_threads_of_one_name(tmp_path):
    store = Store.create(tmp_path / "s", like=big("x"))
    outcomes, refusals = [], []

    def add(seed: int) -> None:
        try:
            Store.open(store.uri).add([model("same", seed, counts=COUNTS), model(f"own-{seed}", seed, counts=COUNTS)])
            outcomes.append(seed)
        except StoreError as error:
            refusals.append(str(error))

    threads = [threading.Thread(target=add, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = outcomes
    assert len(refusals) == 3
    assert all("another signature under the name same" in text for text in refusals)
    assert [entry.name for entry in store.latest().entries()] == ["same", f"own-{winner}"]


FULL = """
import resource
store = Store.open(sys.argv[1])
# No file may get larger than 200 KB, as if the disk ended there.
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    store.add([big(f"new-{i}") for i in range(8)])
except StoreError as error:
    print(error)
"""


def test_no_room_for_a_file(tmp_path):
    store = Store.create(tmp_path / "s", like=big("x"))
    store.add([big("before")])
    out, err = start(FULL, store.uri).communicate()
    assert "cannot add to the store" in out, (out, err)
    assert "there is no room left" in out
    assert "make room and do it again" in out
    again = store.latest()
    assert [entry.name for entry in again.entries()] == ["before"]
    assert list(verify(again)) == []
    assert len(again.add([big(f"new-{i}") for i in range(8)]).added) == 8


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MB; only root may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "mount") or libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, b"size=2m") != 0:
        pytest.skip(
            "this user cannot mount a small file system; test_no_room_for_a_file limits the size of files instead"
        )
    yield folder
    libc.umount2(os.fsencode(folder), 2)


def test_a_full_disk(small_disk):
    store = Store.create(small_disk / "s", like=big("x"))
    added = []
    with pytest.raises(StoreError, match="there is no room left .*; the store is as it was"):  # noqa: PT012
        for group in range(50):
            names = [f"{group}-{i}" for i in range(2)]
            store.add([big(name) for name in names])
            added += names
    assert added
    # Reading needs no room.
    again = store.latest()
    assert [entry.name for entry in again.entries()] == added
    assert list(verify(again)) == []
    assert screen(big(added[0]), again).hits[0].entry.name == added[0]


def test_a_store_that_may_not_be_written(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    store = Store.create(tmp_path / "s", like=big("x"))
    for folder in ("data", "_versions", "_transactions"):
        Path(store.uri, folder).chmod(0o555)
    with pytest.raises(StoreError, match="it may not be written"):
        store.add([big("a")])
