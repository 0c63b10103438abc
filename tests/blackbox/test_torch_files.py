"""PyTorch files: round trips, misfits, and that a stranger's file runs nothing."""

import contextlib
import pickle  # noqa: TID251 - to show that it is refused
import zipfile
from pathlib import Path

import numpy as np
import pytest

from zest_jax.blackbox import file_identity, from_exported, from_state_dict, from_torchscript, load_model
from zest_jax.errors import FileFormatError, ModelOutputError, UnsafeFileError

torch = pytest.importorskip("torch")
from safetensors.torch import save_file  # noqa: E402 - after the check that PyTorch is there
from torch import nn  # noqa: E402


def build(classes=10):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes))


def trained():
    module = build()
    torch.manual_seed(1)
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module.eval()


@pytest.fixture(scope="module")
def wanted():
    module = trained()

    def answer(images):
        with torch.no_grad():
            return module(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()

    return answer


class Evil:
    """Unpickled, it writes `RAN` into the file at `path`: the stand-in for anything worse."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.write_text, (self.path, "RAN"))


class WritesFiles(nn.Module):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.save(x, self.path)
        return x.mean((2, 3))


def checkpoints(folder: Path) -> dict[str, Path]:
    """The same weights in every form in which they come."""
    weights = trained().state_dict()
    wrapped = {f"module.{name}": value for name, value in weights.items()}
    files = {
        "plain": weights,
        "nested": {"epoch": 3, "model_state_dict": weights},
        "parallel": {"state_dict": wrapped},
    }
    paths = {}
    for name, content in files.items():
        torch.save(content, folder / f"{name}.pt")
        paths[name] = folder / f"{name}.pt"
    torch.save(weights, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    save_file(weights, folder / "weights.safetensors")
    return {**paths, "legacy": folder / "legacy.pth", "safetensors": folder / "weights.safetensors"}


@pytest.mark.parametrize("form", ["plain", "nested", "parallel", "legacy", "safetensors"])
def test_weights_load_in_every_form(tmp_path, images, wanted, form):
    path = checkpoints(tmp_path)[form]
    for box in (from_state_dict(path, build), load_model(path, factory=build)):
        np.testing.assert_allclose(box(images), wanted(images), atol=1e-5)
        assert box.label == path.stem
        assert box.settings["file_sha256"] == file_identity(path)
        assert box.settings["training"] is False


def test_weights_that_do_not_fit_are_named(tmp_path):
    path = checkpoints(tmp_path)["plain"]
    with pytest.raises(
        FileFormatError,
        match=r"do not fit the Sequential of `factory`: 2 of another shape: 4\.weight \(\[10, 4\], wanted \[7, 4\]\), 4\.bias",
    ):
        from_state_dict(path, lambda: build(7))
    with pytest.raises(
        FileFormatError, match=r"2 missing: 1\.weight, 1\.bias; 4 unexpected: 0\.weight, 0\.bias, 4\.weight"
    ):
        from_state_dict(path, lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 10)))


def test_a_file_of_something_else_is_described(tmp_path):
    torch.save({"epoch": 3, "loss": 0.5}, tmp_path / "log.pt")
    with pytest.raises(FileFormatError, match=r"log\.pt holds a mapping of epoch, loss, not a state_dict"):
        from_state_dict(tmp_path / "log.pt", build)


def test_a_factory_must_return_a_module(tmp_path):
    path = checkpoints(tmp_path)["plain"]
    with pytest.raises(TypeError, match=r"`factory` returned a dict; it must return the torch\.nn\.Module"):
        from_state_dict(path, dict)


def test_weights_without_a_factory_are_refused_with_the_way_out(tmp_path):
    for path in checkpoints(tmp_path).values():
        with pytest.raises(ValueError, match=r"holds weights, not the architecture .*; pass `factory`"):
            load_model(path)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_torchscript_round_trip(tmp_path, images, wanted):
    path = tmp_path / "scripted.pt"
    torch.jit.script(trained().train()).save(str(path))
    for box in (from_torchscript(path), load_model(path, label="scripted")):
        np.testing.assert_allclose(box(images), wanted(images), atol=1e-5)
        assert (box.label, box.settings["training"]) == ("scripted", False)
        assert box.settings["file_sha256"] == file_identity(path)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_torchscript_that_writes_files_is_refused(tmp_path, images):
    target, path = tmp_path / "written", tmp_path / "scripted.pt"
    torch.jit.script(WritesFiles(str(target))).save(str(path))
    with pytest.raises(UnsafeFileError, match=r"scripted\.pt uses `save`, which reaches files .*trust=True"):
        load_model(path)
    assert not target.exists()
    load_model(path, trust=True)(images)
    assert target.exists()  # so the refusal is not for nothing


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ('getattr(torch, "sa" "ve")(x, "f")', "`getattr` in a form that could hide an operator"),
        (r'getattr(torch, "\163ave")(x, "f")', "`getattr` in a form that could hide an operator"),
        ('ops.image.write_file("f", x)', "operators of `ops.image`, which are unknown here"),
        ('torch.from_file("f", True, 8)', "`from_file`, which reaches files"),
    ],
)
def test_torchscript_cannot_hide_operators(tmp_path, written, reason):
    path, changed = tmp_path / "scripted.pt", tmp_path / "changed.pt"
    torch.jit.script(trained()).save(str(path))
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(changed, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("linear.py"):
                content = content.replace(
                    b"    weight = self.weight", f"    {written}\n    weight = self.weight".encode()
                )
            target.writestr(name.replace("scripted/", "changed/"), content)
    with pytest.raises(UnsafeFileError, match=reason):
        from_torchscript(changed)


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """Exported programs: "dynamic" takes any batch, "fixed" takes batches of 4."""
    folder = tmp_path_factory.mktemp("exported")
    example = (torch.zeros(4, 3, 8, 8),)
    batch = torch.export.Dim("batch", min=1, max=4096)
    shapes = {"dynamic": {"input": {0: batch}}, "fixed": None}
    for name, dynamic in shapes.items():
        program = torch.export.export(trained(), example, dynamic_shapes=dynamic)
        torch.export.save(program, folder / f"{name}.pt2")
    return folder


@pytest.mark.parametrize(("name", "fixed_batch"), [("dynamic", None), ("fixed", 4)])
def test_exported_round_trip(programs, images, wanted, name, fixed_batch):
    path = programs / f"{name}.pt2"
    for box in (from_exported(path, trust=True), load_model(path, trust=True)):
        assert box.fixed_batch == fixed_batch
        np.testing.assert_allclose(box(images), wanted(images), atol=1e-5)
        assert box.settings["file_sha256"] == file_identity(path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_exported_programs_are_refused_because_loading_them_runs_code(programs, tmp_path):
    target, path = tmp_path / "written", tmp_path / "evil.pt2"
    with zipfile.ZipFile(programs / "fixed.pt2") as source, zipfile.ZipFile(path, "w") as changed:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("sample_inputs/model.pt"):
                content = pickle.dumps(({}, Evil(target)))
            changed.writestr(name.replace("fixed/", "evil/"), content)
    for load in (from_exported, load_model):
        with pytest.raises(
            UnsafeFileError, match=r"opening one unpickles: it can run any code of its author; pass trust"
        ):
            load(path)
    assert not target.exists()
    with contextlib.suppress(FileFormatError):
        load_model(path, trust=True)
    assert target.read_text() == "RAN"  # so the refusal is not for nothing


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle", "checkpoint"])
def test_pickles_are_refused_and_do_not_run(tmp_path, form):
    target, path = tmp_path / "written", tmp_path / ("evil.pkl" if form == "pickle" else "evil.pt")
    if form == "pickle":
        path.write_bytes(pickle.dumps(Evil(target)))
    elif form == "checkpoint":
        torch.save({"state_dict": trained().state_dict(), "args": Evil(target)}, path)
    else:
        torch.save(Evil(target), path, _use_new_zipfile_serialization=form == "zip")
    for factory in (None, build):
        with pytest.raises(
            UnsafeFileError, match=r"evil\.\w+ (holds|is a Python pickle).*can run any code of its author"
        ):
            load_model(path, factory=factory)
    assert not target.exists()
    with contextlib.suppress(FileFormatError):
        load_model(path, factory=build, trust=True)
    assert target.read_text() == "RAN"  # so the refusal is not for nothing


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
def test_a_whole_pickled_module_loads_only_when_trusted(tmp_path, images, wanted, form):
    path = tmp_path / "whole.pt"
    if form == "pickle":
        path.write_bytes(pickle.dumps(trained().train()))
    else:
        torch.save(trained().train(), path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(UnsafeFileError, match=r"trust=True \(`--trust`\)"):
        load_model(path)
    box = load_model(path, trust=True)
    np.testing.assert_allclose(box(images), wanted(images), atol=1e-5)
    assert (box.label, box.settings["training"]) == ("whole", False)


def test_what_is_forbidden_is_named(tmp_path):
    torch.save(trained(), tmp_path / "whole.pt")
    with pytest.raises(
        UnsafeFileError, match=r"holds the Python object `torch\.nn\.modules\.container\.Sequential` besides"
    ):
        load_model(tmp_path / "whole.pt")


def test_files_given_to_the_wrong_adapter_are_named(tmp_path, answers):
    plain = checkpoints(tmp_path)["plain"]
    with pytest.raises(
        FileFormatError, match=r"is a PyTorch file \(torch\.save\), not a TorchScript program; use `load_model`"
    ):
        from_torchscript(plain)
    with pytest.raises(FileFormatError, match=r"not a torch\.export program; use `load_model`"):
        from_exported(plain, trust=True)
    with pytest.raises(FileFormatError, match="is an ONNX model, not weights; use `load_model`"):
        from_state_dict(answers.model("victim"), build)


class Fails(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)


def test_a_torchscript_file_that_fails_tells_why_without_the_interpreters_tracebacks(tmp_path):
    torch.jit.script(Fails()).save(tmp_path / "fails.pt")
    box = from_torchscript(tmp_path / "fails.pt")
    with pytest.raises(ModelOutputError) as told:
        box(np.zeros((2, 5, 5, 7), np.float32))
    text = str(told.value)
    assert text.startswith("fails failed on inputs [2, 7, 5, 5] float32: RuntimeError: ")
    assert "mat1 and mat2 shapes cannot be multiplied" in text
    assert "Traceback" not in text
    assert "\n" not in text
