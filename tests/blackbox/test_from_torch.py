import types

import jax.numpy as jnp
import numpy as np
import pytest

from zest_jax.blackbox import from_torch
from zest_jax.errors import MissingExtraError, ModelOutputError

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402 - after the check that PyTorch is there

from tests.golden.torch_twin import torch_twin  # noqa: E402


def net(seed=0, *, inplace=False):
    torch.manual_seed(seed)
    first = [nn.ReLU(inplace=True)] if inplace else []
    layers = [*first, nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10)]
    return nn.Sequential(*layers).eval()


def direct(module, images):
    with torch.no_grad():
        return module(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()).numpy()


class Several(nn.Module):
    def __init__(self, pack):
        super().__init__()
        self.pack = pack
        self.eval()

    def forward(self, x):
        features = x.mean((2, 3))
        return self.pack(features * 2, features)


@pytest.mark.parametrize("channels_last", [True, False, "auto"])
def test_the_torch_twin_agrees_with_the_golden_logits(answers, channels_last):
    module = torch_twin(answers.model("victim"))
    box = from_torch(module, mean=answers.mean, std=answers.std, channels_last=channels_last)
    np.testing.assert_allclose(box(answers.inputs), answers.logits["victim"], atol=1e-3)
    assert box.settings["channels_last"] in ((True, False) if channels_last == "auto" else (channels_last,))


def test_auto_decides_once_and_asks_in_the_format_decided(images):
    formats = []
    module = net()
    module.register_forward_pre_hook(
        lambda _, args: formats.append((len(args[0]), args[0].is_contiguous(memory_format=torch.channels_last)))
    )
    box = from_torch(module)
    assert box.settings["channels_last"] == "auto"
    many = np.concatenate([images] * 20)
    box(many)
    assert {size for size, _ in formats[:-1]} == {64}  # few inputs are timed, whatever the batch
    assert formats[-1] == (120, box.settings["channels_last"])
    formats.clear()
    box(many)
    assert formats == [(120, box.settings["channels_last"])]


def test_nhwc_modules_get_nhwc(images):
    box = from_torch(lambda x: x[:, 0, 0], layout="NHWC", label="pixel")
    np.testing.assert_array_equal(box(images), images[:, 0, 0])


def test_precision_and_mode_are_kept(images):
    module = net().to(torch.bfloat16)
    box = from_torch(module)
    assert box(images).dtype == np.float32
    assert (box.settings["dtype"], box.settings["device"], box.settings["training"]) == ("bfloat16", "cpu", False)
    training = nn.Sequential(net(), nn.Dropout(0.5)).train()
    with pytest.warns(UserWarning, match=r"Sequential is in training mode \(1 Dropout\): .*`model\.eval\(\)`"):
        noisy = from_torch(training)
    assert noisy.settings["training"] is True
    assert np.abs(noisy(images) - noisy(images)).max() > 0
    assert training.training


def test_a_module_in_evaluation_mode_is_not_warned_of(recwarn):
    from_torch(nn.Sequential(net(), nn.Dropout(0.5)).eval())
    from_torch(lambda x: x.mean((2, 3)))
    assert not recwarn.list


def test_running_statistics_are_not_updated_by_timing(images):
    module = nn.Sequential(nn.BatchNorm2d(3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).train()
    with pytest.warns(UserWarning, match=r"Sequential is in training mode \(1 BatchNorm2d\)"):
        box = from_torch(module)
    box(images)
    assert module[0].num_batches_tracked == 1
    assert box.settings["channels_last"] is False


def test_inputs_of_the_caller_are_not_written_to(images):
    box = from_torch(net(inplace=True), mean=[0.5] * 3, channels_last=False)
    prepared = jnp.asarray(images - 0.5).transpose(0, 3, 1, 2)
    before = np.array(prepared)
    box.ask(np.asarray(prepared))  # read-only memory of JAX's
    np.testing.assert_array_equal(np.asarray(prepared), before)


def test_device_is_taken_as_string_or_object(images):
    for device in ("cpu", torch.device("cpu")):
        np.testing.assert_allclose(from_torch(net(), device=device)(images), direct(net(), images), atol=1e-5)


@pytest.mark.parametrize(
    ("pack", "output"),
    [
        (lambda a, b: {"scores": a, "features": b}, "scores"),
        (lambda a, b: (b, a), 1),
        (lambda a, b: types.SimpleNamespace(logits=a, hidden=b), None),
        (lambda a, b: types.SimpleNamespace(scores=a, hidden=b), "scores"),
    ],
)
def test_outputs_are_picked_by_index_name_or_attribute(images, pack, output):
    np.testing.assert_allclose(from_torch(Several(pack), output=output)(images), images.mean((1, 2)) * 2, atol=1e-6)


def test_errors_name_the_model_and_what_arrived(images):
    with pytest.raises(
        ModelOutputError, match=r"Several answered \[0\] float32 \[6, 3\]; \[1\] float32 \[6, 3\]: 2 of"
    ):
        from_torch(Several(lambda a, b: (a, b)))(images)
    with pytest.raises(ModelOutputError, match=r"Sequential failed on inputs \[6, 8, 8, 3\] float32: RuntimeError"):
        from_torch(net(), layout="NHWC")(images)


def test_a_state_dict_is_sent_to_its_adapter(unchecked_types):
    with pytest.raises(TypeError, match=r"got OrderedDict; a state_dict goes to `from_state_dict\(path, factory\)`"):
        from_torch(net().state_dict())


def test_an_unknown_memory_format_is_refused(unchecked_types):
    with pytest.raises(ValueError, match="`channels_last` is 'yes'; choose True, False or 'auto'"):
        from_torch(net(), channels_last="yes")


def test_without_torch_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(
        MissingExtraError, match=r'torch is not installed; install it with `pip install "zest_jax\[torch\]"`'
    ):
        from_torch(lambda x: x)
