"""The metrics of a run on disk: `metrics.jsonl`, one line per epoch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zest_jax.atomic import atomic_write

METRICS_FILE = "metrics.jsonl"


def add_metrics(folder: Path, line: Mapping[str, Any]) -> None:
    """Note an epoch."""
    with (folder / METRICS_FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def metrics_up_to(folder: Path, epochs: int) -> list[dict[str, Any]]:
    """Read the lines up to an epoch, and cut off in the file what comes after them."""
    path = folder / METRICS_FILE
    history = _read(path, epochs)
    if path.exists():
        lines = "".join(json.dumps(line) + "\n" for line in history)
        with atomic_write(path) as file:
            file.write(lines.encode())
    return history


def _read(path: Path, epochs: int) -> list[dict[str, Any]]:
    """Lines up to an epoch; a line that was cut off comes after all checkpoints."""
    history: list[dict[str, Any]] = []
    if path.exists():
        for text in path.read_text(encoding="utf-8").splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                break
            if line["epoch"] > epochs:
                break
            history.append(line)
    return history
