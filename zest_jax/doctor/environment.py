"""Which devices JAX sees, and which optional packages are there."""

from importlib import metadata
from typing import NamedTuple

from packaging.requirements import Requirement as Parsed

PACKAGE = "zest_jax"
# For those who develop this package; not for its users.
_OF_DEVELOPERS = ("dev", "test", "docs", "notebooks", "demo", "demo-quick")


class Requirement(NamedTuple):
    """A package that this one needs.

    Attributes:
        name: as it is installed, with the versions that will do: "onnxruntime>=1.19.0".
        version: that is installed, or None.
        fits: it is installed in a version that will do.

    >>> Requirement("onnxruntime>=1.19.0", version="1.18.1", fits=False).fits
    False
    """

    name: str
    version: str | None
    fits: bool


class Extra(NamedTuple):
    """An optional part of this package.

    Attributes:
        name: "onnx" in `pip install "zest_jax[onnx]"`; "" for what is always needed.
        requirements: what it brings, those of the extras that it contains included.

    >>> Extra("onnx", (Requirement("onnxruntime>=1.19.0", version=None, fits=False),)).complete
    False
    """

    name: str
    requirements: tuple[Requirement, ...]

    @property
    def complete(self) -> bool:
        """Everything is there."""
        return all(requirement.fits for requirement in self.requirements)


def devices() -> list[str]:
    """What JAX computes on, in words; one line for devices of a kind.

    Returns:
        such as ["cpu"] or ["gpu (NVIDIA H100), 8 devices"].

    Raises:
        ModuleNotFoundError: JAX is not installed.
        RuntimeError: it finds no device, or not the platform that it was told to use.

    >>> devices()[0].startswith(("cpu", "gpu", "tpu"))
    True
    """
    import jax

    found: dict[str, int] = {}
    for device in jax.devices():
        words = (
            device.platform if device.device_kind == device.platform else f"{device.platform} ({device.device_kind})"
        )
        found[words] = found.get(words, 0) + 1
    return [f"{words}, {count} devices" if count > 1 else words for words, count in found.items()]


def extras() -> list[Extra]:
    """What this package needs and may need, as its installed metadata tell; the needed packages first.

    Returns:
        what is needed, under the name "", then each extra.

    Raises:
        importlib.metadata.PackageNotFoundError: the package is imported from a folder and not installed.

    >>> found = [extra.name for extra in extras()]
    >>> found[0], "onnx" in found, "dev" in found
    ('', True, False)
    """
    told = metadata.metadata(PACKAGE)
    lines = [Parsed(line) for line in told.get_all("Requires-Dist") or ()]
    names = [name for name in told.get_all("Provides-Extra") or () if name not in _OF_DEVELOPERS]
    return [Extra(name, tuple(_requirements(lines, name))) for name in ("", *names)]


def _requirements(lines: list[Parsed], extra: str) -> list[Requirement]:
    found: list[Requirement] = []
    for line in lines:
        if (line.marker is None) != (extra == ""):
            continue
        if line.marker is not None and (
            line.marker.evaluate({"extra": ""}) or not line.marker.evaluate({"extra": extra})
        ):
            continue
        if _normal(line.name) == _normal(PACKAGE):
            found += [each for inner in sorted(line.extras) for each in _requirements(lines, inner)]
        else:
            found.append(_state(line))
    return list(dict.fromkeys(found))


def _state(line: Parsed) -> Requirement:
    name = f"{line.name}{line.specifier}"
    try:
        version = metadata.version(line.name)
    except metadata.PackageNotFoundError:
        return Requirement(name, None, fits=False)
    # A build of a version, such as 2.13.0+cpu, is that version.
    return Requirement(name, version, fits=line.specifier.contains(version, prereleases=True))


def _normal(name: str) -> str:
    return name.lower().replace("-", "_").replace(".", "_")
