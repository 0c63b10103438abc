"""Typed configurations of zoos."""

import dataclasses
import runpy
from pathlib import Path

import pytest

from tests.zoo.tiny import write_config
from zest_jax import zoo as z
from zest_jax.errors import FileFormatError
from zest_jax.models.registry import ModelConfig
from zest_jax.training import recipe

VICTIM = z.Train(name="victim", model=ModelConfig(name="resnet20", num_classes=10), recipe=recipe("fast-cifar"), seed=0)


@pytest.mark.parametrize("path", sorted(Path("configs/zoo").glob("*.py")), ids=lambda path: path.stem)
def test_the_committed_zoos_are_sound(path):
    zoo = z.load_zoo(path)
    assert zoo.name == path.stem
    digests = {zoo.digest(entry) for entry in zoo.models}
    assert len(digests) == len(zoo.models)


def test_the_small_zoo_has_independent_models_and_every_kind_of_reuse():
    zoo = z.load_zoo("configs/zoo/cifar10-small.py")
    victim = zoo.entry("victim")
    assert isinstance(victim, z.Train)
    independent = [e for e in zoo.models if isinstance(e, z.Train) and e.seed != victim.seed]
    assert len(independent) >= 3
    kinds = {type(e) for e in zoo.models}
    reuse = {z.Transfer, z.Prune, z.Quantize, z.QuantizeOnnx, z.Distill, z.Extract, z.Unlearn, z.UnlearnSisa}
    assert reuse | {z.Permute, z.Noise, z.Average} <= kinds
    assert {e.method for e in zoo.models if isinstance(e, z.Unlearn)} == {"exact", "amnesiac"}


def test_a_digest_follows_the_settings_of_all_ancestors():
    def made(seed, scale):
        victim = dataclasses.replace(VICTIM, seed=seed)
        return z.Zoo(name="zoo", models=(victim, z.Noise(name="noisy", of="victim", scale=scale)))

    def digest(zoo):
        return zoo.digest(zoo.entry("noisy"))

    assert digest(made(0, 0.1)) == digest(made(0, 0.1))
    assert len({digest(made(0, 0.1)), digest(made(1, 0.1)), digest(made(0, 0.2))}) == 3


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ((), "has no models"),
        ((VICTIM, VICTIM), "two models called 'victim'"),
        ((z.Noise(name="noisy", of="victim", scale=0.1), VICTIM), "'victim', which does not come before it"),
        ((dataclasses.replace(VICTIM, name="../up"),), "no name for a folder"),
        (("victim",), "which is no entry"),
    ],
)
def test_what_cannot_be_built_is_refused(models, message):
    with pytest.raises(ValueError, match=message):
        z.Zoo(name="zoo", models=models)


def test_unknown_names_list_the_known_ones():
    with pytest.raises(ValueError, match="no model 'other'; it has victim"):
        z.Zoo(name="zoo", models=(VICTIM,)).entry("other")


class TestLoadZoo:
    def test_the_file_is_run(self, tmp_path):
        path = write_config(tmp_path)
        assert z.load_zoo(path) == runpy.run_path(str(path))["zoo"]

    def test_a_missing_file(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="give a Python file that defines `zoo`"):
            z.load_zoo(tmp_path / "none.py")

    def test_a_file_that_fails(self, tmp_path):
        (tmp_path / "bad.py").write_text("zoo = 1 / 0")
        with pytest.raises(FileFormatError, match="ZeroDivisionError"):
            z.load_zoo(tmp_path / "bad.py")

    def test_a_file_without_a_zoo(self, tmp_path):
        (tmp_path / "empty.py").write_text("zebra = 1")
        with pytest.raises(FileFormatError, match="does not define `zoo"):
            z.load_zoo(tmp_path / "empty.py")

    def test_a_mistake_in_the_zoo_is_told(self, tmp_path):
        path = write_config(tmp_path, more='z.Noise(name="noisy", of="vitcim", scale=0.1),')
        with pytest.raises(FileFormatError, match="'vitcim', which does not come before it"):
            z.load_zoo(path)
