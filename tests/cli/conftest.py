"""A folder with everything that a command line session has: images, probes, signatures of the golden models."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from zest_jax.cli.main import main

MODELS = {path.stem: path for path in (Path(__file__).parent.parent / "golden" / "models").glob("*.onnx")}
NORMALISE = ["--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"]
TINY = ["--n-references", "4", "--n-samples", "64", "--segmenter", "grid", "--segmenter-settings", "rows=3,columns=3"]


class Session(NamedTuple):
    """Files of a command line session."""

    folder: Path
    pool: Path
    probes: Path
    signatures: dict[str, Path]


@pytest.fixture(scope="session")
def session(tmp_path_factory) -> Session:
    """Made through the command line itself; treat as read-only."""
    folder = tmp_path_factory.mktemp("session")
    with np.load(Path(__file__).parent.parent / "golden" / "probes.npz") as golden:
        np.savez(folder / "pool.npz", images=golden["images"], labels=np.arange(16) % 4)
    assert main(["probes", str(folder / "pool.npz"), "-o", str(folder / "probes.npz"), *TINY]) == 0
    signatures = {}
    for name, model in MODELS.items():
        signatures[name] = folder / f"{name}.sig"
        command = ["sign", str(model), "--probes", str(folder / "probes.npz"), "-o", str(signatures[name])]
        assert main([*command, *NORMALISE]) == 0
    return Session(folder, folder / "pool.npz", folder / "probes.npz", signatures)


@pytest.fixture
def here(tmp_path) -> Iterator[Path]:
    """An empty folder, which is the current one."""
    before = Path.cwd()
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)


@pytest.fixture
def zest(capsys):
    """Run a command; returns exit code, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def models() -> dict[str, Path]:
    """The golden ONNX models."""
    return MODELS


@pytest.fixture
def normalise() -> list[str]:
    """How the golden models want their inputs."""
    return NORMALISE


@pytest.fixture
def tiny() -> list[str]:
    """Options for 4 references, 64 masks, 9 segments."""
    return TINY


@pytest.fixture
def store(zest, session, here) -> str:
    """A store with the signatures of the golden models."""
    pytest.importorskip("lance")
    code, out, err = zest(
        "store", "add", "models.store", *session.signatures.values(), "--data", "cifar10", "--owner", "us"
    )
    assert (code, out) == (0, "")
    assert "added 3 to models.store; it holds 3 models (version 2)" in err
    return "models.store"
