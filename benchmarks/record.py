"""What every benchmark writes beside its numbers, and where."""

import json
import os
import pathlib
import platform
import subprocess
import sys
from importlib import metadata
from typing import Any

import jax

ROOT = pathlib.Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def environment(*packages: str) -> dict[str, Any]:
    """Device, processor, versions and commit: what a reader needs to judge the numbers."""
    device = jax.devices()[0]
    return {
        "device": device.device_kind,
        "platform": device.platform,
        "devices": jax.device_count(),
        "processor": _processor(),
        "processors": os.cpu_count(),
        "load_average_at_start": _quiet_load(),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in ("jax", "jaxlib", "numpy", *packages)},
        "commit": _commit(),
    }


def write(name: str, result: dict[str, Any], path: pathlib.Path | None = None) -> pathlib.Path:
    """Write a result to benchmarks/results/<name>/<device>.json and return where that is."""
    device = str(result["environment"]["device"]).lower().replace(" ", "-")
    path = path or RESULTS / name / f"{device}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"written to {path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}")
    return path


def command(module: str) -> str:
    """The command that made a result."""
    return " ".join(["python", "-m", module, *sys.argv[1:]])


def _commit() -> str | None:
    """The commit checked out, with "+changes" where files differ from it: then it did not produce the result.

    Of files that git does not know only programs count.
    """
    commit = _git("rev-parse", "HEAD")
    others = ".", ":(exclude)benchmarks/results"
    changed = _git("--no-optional-locks", "status", "--porcelain", "--untracked-files=no", "--", *others)
    unknown = _git("ls-files", "--others", "--exclude-standard", "--", "*.py", "*.ipynb")
    # What cannot be asked counts as changed.
    return commit and (commit if changed == unknown == "" else f"{commit}+changes")


def _git(*arguments: str) -> str | None:
    """What git prints; None where there is no git or no checkout."""
    try:
        git = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return git.stdout.strip() if git.returncode == 0 else None


def load_average() -> float | None:
    """The load average of the last minute; None where nobody counts."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _quiet_load() -> float | None:
    """The load average, with a warning where others keep the cores busy."""
    load, cores = load_average(), os.cpu_count() or 1
    if load is not None and load > cores / 2:
        print(f"warning: the load average is {load:.1f} on {cores} cores; timings will be unsteady", file=sys.stderr)
    return load


def _processor() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())
