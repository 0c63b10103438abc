import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from tests.golden.flax_twin import flax_twin
from zest_jax.blackbox import from_flax, from_linen, from_onnx
from zest_jax.errors import ModelOutputError

TRACES = []


class Net(nnx.Module):
    def __init__(self, rngs, dropout=0.0):
        # Initialisers made anew for every model, as user code does: they must not tell two models apart.
        self.conv = nnx.Conv(3, 4, (3, 3), kernel_init=nnx.initializers.he_normal(), rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.dropout = nnx.Dropout(dropout, rngs=rngs)
        self.heads = nnx.List([nnx.Linear(4, 10, rngs=rngs)])

    def __call__(self, x):
        TRACES.append(1)
        return self.heads[0](self.dropout(nnx.relu(self.norm(self.conv(x)))).mean((1, 2)))


def evaluated(seed=0, **settings):
    model = Net(nnx.Rngs(seed), **settings)
    model.eval()
    return model


class LinenNet(linen.Module):
    @linen.compact
    def __call__(self, x, train=False):
        x = linen.Conv(4, (3, 3))(x)
        x = linen.BatchNorm(use_running_average=not train)(x)
        x = linen.Dropout(0.5, deterministic=not train)(x)
        return linen.Dense(10)(x.mean((1, 2)))


@pytest.mark.parametrize("name", ["victim", "unrelated"])
def test_the_flax_twin_agrees_with_onnxruntime_and_the_golden_logits(answers, name):
    normalisation = {"mean": answers.mean, "std": answers.std}
    twin = from_flax(flax_twin(answers.model(name)), **normalisation)(answers.inputs)
    np.testing.assert_allclose(twin, from_onnx(answers.model(name), **normalisation)(answers.inputs), atol=1e-4)
    np.testing.assert_allclose(twin, answers.logits[name], atol=1e-3)


def test_the_model_answers_as_it_does_itself(images):
    model = evaluated()
    np.testing.assert_allclose(from_flax(model)(images), model(jnp.asarray(images)), atol=1e-5)


def test_models_of_one_architecture_share_one_compilation(images):
    # A rate that no other test uses: its first question has to compile.
    first, second = (from_flax(evaluated(seed, dropout=0.125), label=f"seed {seed}") for seed in (0, 1))
    assert first.apply == second.apply
    assert hash(first.apply) == hash(second.apply)
    TRACES.clear()
    assert np.abs(first(images) - second(images)).max() > 1e-3
    assert len(TRACES) == 1


def test_models_of_different_architecture_do_not_share():
    assert from_flax(evaluated()).apply != from_flax(evaluated(dropout=0.5)).apply


def test_asking_in_training_mode_leaves_the_model_as_it_was(images):
    model = Net(nnx.Rngs(0), dropout=0.5)
    model.train()
    before = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(model, nnx.BatchStat)))
    with pytest.warns(UserWarning, match="Net is in training mode"):
        box = from_flax(model)
    first = box(images)
    box.apply(box.state, jnp.asarray(images))  # not under jit
    np.testing.assert_array_equal(box(images), first)
    jax.tree.map(np.testing.assert_array_equal, before, nnx.to_pure_dict(nnx.state(model, nnx.BatchStat)))


def test_training_mode_is_warned_of_by_name(recwarn):
    model = Net(nnx.Rngs(0), dropout=0.5)
    with pytest.warns(
        UserWarning,
        match=r"suspect is in training mode \(1 BatchNorm with use_running_average=False, 1 Dropout with "
        r"deterministic=False\): .*`model\.eval\(\)`",
    ):
        from_flax(model, label="suspect")
    recwarn.clear()
    from_flax(evaluated(dropout=0.5))
    from_flax(nnx.Sequential(nnx.Linear(3, 10, rngs=nnx.Rngs(0)), nnx.Dropout(0.0)))  # changes nothing
    assert not recwarn.list


def test_later_training_does_not_change_the_black_box(images):
    model = evaluated()
    box = from_flax(model)
    before = box(images)
    model.heads[0].kernel[...] = jnp.zeros((4, 10))
    np.testing.assert_array_equal(box(images), before)
    assert np.abs(model(jnp.asarray(images)) - before).max() > 1e-3


def test_linen_modules_answer_as_they_do_themselves(images):
    module = LinenNet()
    variables = module.init(jax.random.key(0), images)
    box = from_linen(module, variables, apply_kwargs={"train": False}, class_names=[str(i) for i in range(10)])
    np.testing.assert_allclose(box(images), np.asarray(module.apply(variables, images)), atol=1e-5)
    assert box.label == "LinenNet"
    assert box.apply == from_linen(LinenNet(), variables, apply_kwargs={"train": False}, label="other").apply


def test_linen_in_training_mode_discards_its_updates(images):
    module = LinenNet()
    variables = module.init(jax.random.key(0), images)
    kwargs = {"train": True, "mutable": ["batch_stats"], "rngs": {"dropout": jax.random.key(1)}}
    box = from_linen(module, variables, apply_kwargs=kwargs)
    wanted, _ = module.apply(variables, images, **kwargs)
    np.testing.assert_allclose(box(images), wanted, atol=1e-5)


def test_wrong_modules_are_sent_to_the_right_adapter(unchecked_types, images):
    with pytest.raises(TypeError, match=r"got LinenNet; Linen modules go to `from_linen\(module, variables\)`"):
        from_flax(LinenNet())
    with pytest.raises(TypeError, match=r"got Net; NNX modules go to `from_flax\(model\)`"):
        from_linen(Net(nnx.Rngs(0)), {})


def test_linen_arguments_that_cannot_be_hashed_are_named():
    with pytest.raises(ValueError, match=r"`apply_kwargs\['scale'\]` is a ndarray, which cannot be hashed"):
        from_linen(LinenNet(), {}, apply_kwargs={"scale": np.ones(3)})


def test_a_model_with_feature_maps_for_output_is_described(images):
    with pytest.raises(ModelOutputError, match=r"Conv answered float32 \[6, 8, 8, 4\], not one array"):
        from_flax(nnx.Conv(3, 4, (3, 3), rngs=nnx.Rngs(0)))(images)
