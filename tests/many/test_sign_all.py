"""Many models into a store: nothing lost, nothing doubled, whatever a model does."""

import dataclasses
import itertools
import os
import pickle  # noqa: TID251  made here, to be refused
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zest_jax as zj
from zest_jax.errors import ProbeMismatchError, StoreError
from zest_jax.many import Job, PlainLoop, Signed, sign_all
from zest_jax.many.job import attempt
from zest_jax.screening import Metadata, Store, verify

pytest.importorskip("lance")
FAILING = """
import sys
def raises():
    def ask(x): raise RuntimeError("no such table")
    return ask
def leaves(): sys.exit(3)
class PanicException(BaseException): pass
def panics(): raise PanicException("index out of bounds")
def constant(): return lambda x: x.mean((1, 2)) * 0 + 1
def random():
    import numpy as np
    return lambda x: np.random.default_rng().normal(size=(len(x), 3)).astype("float32")
"""


def names_in(store: str | os.PathLike[str]) -> list[str]:
    return [entry.name for entry in Store.open(store).entries()]


def test_signatures_are_those_of_sign(tmp_path, probes, real):
    noted = Metadata(owner="lab 3", data="cifar10")
    found = sign_all(real, probes, tmp_path / "s", metadata=noted)
    assert [done.name for done in found.done] == names_in(tmp_path / "s") == [job.name for job in real]
    assert (found.present, found.failed) == ((), ())
    store = Store.open(tmp_path / "s")
    assert found.version == store.version
    assert {entry.metadata.owner for entry in store.entries()} == {"lab 3"}
    for job, done, stored in zip(real, found.done, store.load([job.name for job in real]), strict=True):
        expected = zj.sign(zj.from_onnx(job.model, **job.load), probes)
        np.testing.assert_array_equal(stored.weights, expected.weights)
        assert (done.model, done.where, done.tries, done.classes) == (job.model, None, 1, 10)
        assert done.r2 == pytest.approx(expected.mean_r2())


def test_models_that_fail_are_told_of_and_left_out(tmp_path, probes, real, module, golden):
    make = module("failing", FAILING)
    (tmp_path / "cut.onnx").write_bytes(golden.models["victim"].read_bytes()[:5000])
    failing = {
        "raises": (make("raises"), "RuntimeError: no such table"),
        "leaves": (make("leaves"), "the model's code ended the program (SystemExit: 3)"),
        "panics": (make("panics"), "PanicException: index out of bounds"),
        "constant": (make("constant"), "the signature of constant says nothing about the model"),
        "random": (make("random"), "is not deterministic: asked the same 64 inputs twice"),
        "cut": (Job(name="cut", model=str(tmp_path / "cut.onnx")), "is a truncated ONNX model"),
        "shape": (
            dataclasses.replace(real[0], name="shape", load={"layout": "NHWC"}),
            "takes inputs [any, 3, 32, 32] (NHWC), got",
        ),
        "setting": (dataclasses.replace(real[0], name="setting", load={"device": "cpu"}), "device cannot be set for"),
    }
    jobs = [job for job, _ in failing.values()]
    with pytest.warns(UserWarning, match="constant gave the same outputs whatever was masked"):
        found = sign_all([*jobs[:4], *real, *jobs[4:]], probes, tmp_path / "s")
    assert [failed.job.name for failed in found.failed] == list(failing)
    for failed in found.failed:
        assert failing[failed.job.name][1] in failed.error
    assert names_in(tmp_path / "s") == [job.name for job in real]


def test_what_is_there_is_not_signed_again(tmp_path, probes, real, monkeypatch):
    sign_all(real[:2], probes, tmp_path / "s")
    asked = []
    monkeypatch.setattr(
        "zest_jax.many.loop.attempt", lambda job, probes: asked.append(job.name) or attempt(job, probes)
    )
    found = sign_all(real, probes, tmp_path / "s")
    assert asked == [done.name for done in found.done] == [real[2].name]
    assert found.present == (real[0].name, real[1].name)
    version = Store.open(tmp_path / "s").version
    assert sign_all(real, probes, tmp_path / "s").version == version


def test_what_the_store_would_refuse_is_refused_before_any_question(tmp_path, probes, real, golden):
    sign_all(real[:1], probes, tmp_path / "s")
    other = zj.image_probes(golden.images, 3, 9, 7, segmenter="grid", segmenter_settings={"rows": 2, "columns": 2})
    with pytest.raises(
        ProbeMismatchError, match=r"the probe set is .*, and .*s holds signatures of .*; give the probe set"
    ):
        sign_all(real, other, tmp_path / "s")
    ridge = [dataclasses.replace(job, sign={"ridge": 1.0}) for job in real]
    with pytest.raises(
        ProbeMismatchError, match=r"fitted with ridge 0.0, not 1.0 as for unrelated; sign with the same"
    ):
        sign_all(ridge, probes, tmp_path / "s")
    with pytest.raises(ValueError, match="two models are called 'unrelated'; in a store names are unique"):
        sign_all([real[0], real[0]], probes, tmp_path / "s")
    with pytest.raises(ValueError, match="`name` is 'a\\\\n'; give 1 to 200 printable characters"):
        sign_all([dataclasses.replace(real[0], name="a\n")], probes, tmp_path / "s")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes").touch()
    with pytest.raises(StoreError, match=r"full is a folder that holds other files \(notes\)"):
        sign_all(real, probes, tmp_path / "full", by=Prepared([]))


@dataclasses.dataclass
class Prepared:
    """Outcomes that lie ready; a function among them is called when its turn comes."""

    ready: Iterable

    def outcomes(self, jobs, probes, say) -> Iterator[Any]:
        for one in self.ready:
            yield one() if callable(one) else one


def signed(probes: zj.ProbeSet, jobs: list[Job]) -> list[Signed]:
    found = [attempt(job, probes) for job in jobs]
    assert all(isinstance(one, Signed) for one in found)
    return found  # pyright: ignore[reportReturnType]


def test_an_interrupt_keeps_what_is_finished(tmp_path, probes, real):
    ready = signed(probes, real)

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=r"2 models were added to .*s; run the same command again to go on"):
        sign_all(real, probes, tmp_path / "s", by=Prepared([*ready[:2], interrupt]))
    assert names_in(tmp_path / "s") == [job.name for job in real[:2]]
    found = sign_all(real, probes, tmp_path / "s")
    assert ([done.name for done in found.done], len(found.present)) == ([real[2].name], 2)
    with pytest.raises(KeyboardInterrupt, match="no model was added to .*; run the same command again to go on"):
        sign_all(real, probes, tmp_path / "s2", by=Prepared([interrupt]))


def test_an_interrupt_while_adding_loses_and_doubles_nothing(tmp_path, probes, real, monkeypatch):
    ready, add, calls = signed(probes, real), Store.add, itertools.count()

    def interrupted(self, signatures, **settings):
        call = next(calls)
        if call == 0:
            raise KeyboardInterrupt
        added = add(self, signatures, **settings)
        if call == 2:
            raise KeyboardInterrupt
        return added

    monkeypatch.setattr(Store, "add", interrupted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            sign_all(real, probes, tmp_path / "s", by=Prepared(ready))
    monkeypatch.setattr(Store, "add", add)
    sign_all(real, probes, tmp_path / "s")
    assert sorted(names_in(tmp_path / "s")) == sorted(job.name for job in real)
    assert list(verify(Store.open(tmp_path / "s"))) == []


def test_an_error_of_the_store_ends_the_run_and_tells_what_is_kept(tmp_path, probes, real, monkeypatch):
    ready, add, said = signed(probes, real), Store.add, []
    monkeypatch.setattr("zest_jax.many.additions.EVERY", 0.0)
    calls = itertools.count()

    def full(self, signatures, **settings):
        if next(calls):
            raise StoreError("no room")
        return add(self, signatures, **settings)

    monkeypatch.setattr(Store, "add", full)
    with pytest.raises(StoreError, match="no room"):
        sign_all(real, probes, tmp_path / "s", by=Prepared(ready), say=said.append)
    assert said == [f"1 model was added to {tmp_path / 's'} before; the same command goes on from there"]
    assert names_in(tmp_path / "s") == [real[0].name]


def test_another_writer_that_takes_a_name_keeps_no_other_model_out(tmp_path, probes, real):
    ready = signed(probes, real)
    taken = dataclasses.replace(ready[0].signature, label=real[1].name)

    def another_writer():
        # The first model is added as soon as it is there, the others wait.
        Store.open(tmp_path / "s").add([taken])

    found = sign_all(real, probes, tmp_path / "s", by=Prepared([*ready, another_writer]))
    (failed,) = found.failed
    assert (failed.job.name, failed.conflict) == (real[1].name, True)
    assert "holds the signature of another file under the name" in failed.error
    assert sorted(names_in(tmp_path / "s")) == sorted(job.name for job in real)


def test_another_process_that_signed_the_same_model_is_no_failure(tmp_path, probes, real):
    ready = signed(probes, real)
    # As two machines compute it: within rounding.
    weights = ready[1].signature.weights * np.float32(1 + 1e-6)
    theirs = dataclasses.replace(ready[1].signature, weights=weights)

    def another_process():
        Store.open(tmp_path / "s").add([theirs])

    found = sign_all(real, probes, tmp_path / "s", by=Prepared([*ready, another_process]))
    assert (found.failed, found.present) == ((), (real[1].name,))
    assert [done.name for done in found.done] == [real[0].name, real[2].name]
    assert sorted(names_in(tmp_path / "s")) == sorted(job.name for job in real)
    np.testing.assert_array_equal(Store.open(tmp_path / "s").load([real[1].name])[0].weights, weights)


@pytest.mark.parametrize(
    "command",
    [
        ("sign-all", "victim.onnx", "--probes", "probes.npz", "--store", "s"),
        ("sign", "victim.onnx", "--probes", "probes.npz", "-o", "victim.sig"),
    ],
    ids=["sign-all", "sign"],
)
def test_what_lies_beside_models_is_not_imported(tmp_path, probes, golden, command):
    """A library is looked for where Python finds it, and not in the folder that strangers' models lie in."""
    probes.save(tmp_path / "probes.npz")
    shutil.copy(golden.models["victim"], tmp_path / "victim.onnx")
    (tmp_path / "onnxruntime.py").write_text("open('imported', 'w').close()\nraise ImportError('not this one')\n")
    program = "import sys; from zest_jax.cli.main import main; sys.exit(main())"
    # -P: as the console script, which has no current folder on its path.
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, *command],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(zj.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not (tmp_path / "imported").exists()
    assert done.returncode == 0, done.stderr
    assert (tmp_path / command[-1]).exists()


class Touching:
    """Pickled, it makes a file where it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_pickles_are_not_opened(tmp_path, probes):
    (tmp_path / "m.pt").write_bytes(pickle.dumps(Touching(tmp_path / "opened")))
    (failed,) = sign_all([Job(name="m", model=str(tmp_path / "m.pt"))], probes, tmp_path / "s").failed
    assert "trust" in failed.error
    assert not (tmp_path / "opened").exists()


def test_a_file_that_nobody_can_read_does_not_end_the_run(tmp_path, probes, real, zip_of_the_future):
    sign_all([dataclasses.replace(real[0], name="m")], probes, tmp_path / "s")
    broken = zip_of_the_future(tmp_path / "m.pt")
    found = sign_all([dataclasses.replace(real[0], name="m", model=str(broken)), real[1]], probes, tmp_path / "s")
    assert (found.present, [done.name for done in found.done]) == ((), [real[1].name])
    (failed,) = found.failed
    assert re.search(
        r"whether .*m\.pt is still that model cannot be told \(NotImplementedError: zip file version", failed.error
    )
    assert names_in(tmp_path / "s") == ["m", real[1].name]


def test_finished_models_wait_for_each_other_a_moment_only(tmp_path, probes, real, monkeypatch):
    ready, clock = signed(probes, real), [100.0]
    monkeypatch.setattr("zest_jax.many.additions.time.monotonic", lambda: clock[0])
    seen = []

    def later(seconds):
        def tick():
            seen.append(len(names_in(tmp_path / "s")) if (tmp_path / "s").exists() else 0)
            clock[0] += seconds

        return tick

    sign_all(
        real, probes, tmp_path / "s", by=Prepared([ready[0], later(1), ready[1], later(3), None, later(0), ready[2]])
    )
    # The first does not wait; the second waits until three seconds have passed.
    assert seen == [1, 1, 2]
    assert len(names_in(tmp_path / "s")) == 3


def test_the_bar_tells_rates_and_failures(tmp_path, probes, real, capsys, monkeypatch):
    monkeypatch.setattr("zest_jax.progress.LINE_EVERY", 0.0)
    clock = [0.0]
    ready = signed(probes, real)
    monkeypatch.setattr("zest_jax.progress.time.monotonic", lambda: clock[0])
    sign_all(real[:1], probes, tmp_path / "s", by=Prepared(ready[:1]))
    bad = [Job(name=name, model=f"{name}.onnx") for name in ("none", "nothing")]

    def later():
        clock[0] += 30.0

    outcomes = [later, attempt(bad[0], probes), later, ready[1], later, ready[2], later, attempt(bad[1], probes), None]
    sign_all([*bad, *real], probes, tmp_path / "s", by=Prepared(outcomes), progress=True)
    lines = capsys.readouterr().err.splitlines()
    # Neither the model that was there nor those that failed count in the rates.
    assert lines[1] == "signing: 2 of 5 models, 1 failed"
    assert (
        lines[3]
        == f"signing: 3 of 5 models, 1.0 models/min, {probes.n_queries / 60:,.0f} queries/s, 1 failed, 120 s left"
    )
    assert (
        lines[-1]
        == f"signing: 5 of 5 models, 1.0 models/min, {probes.n_queries / 60:,.0f} queries/s, 2 failed, 0 s left"
    )
    assert sum("5 of 5" in line for line in lines) == 1


def test_the_loop_tells_each_model_once(probes, real):
    found = list(PlainLoop().outcomes(real, probes, print))
    assert [one.job for one in found] == real
