"""Make zest_jax/doctor/golden.npz, what `zest doctor` compares with, of tests/golden, the paper authors' values.

python scripts/doctor_golden.py            write it
python scripts/doctor_golden.py --check    exit with 1 if it would hold something else
"""

import json
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
GOLDEN = ROOT / "tests" / "golden"
PATH = ROOT / "zest_jax" / "doctor" / "golden.npz"
# Of the sixteen references, and models whose signatures are compared.
REFERENCES = 3
MODELS = ("victim", "victim_epoch3", "unrelated")


def main() -> int:
    arrays = contents()
    if "--check" in sys.argv[1:]:
        return int(not same(arrays))
    np.savez_compressed(PATH, **arrays)  # pyright: ignore[reportArgumentType]
    print(f"written to {PATH.relative_to(ROOT)}: {PATH.stat().st_size:,} bytes")
    return 0


def contents() -> dict[str, np.ndarray]:
    """Arrays by name, of the first references, and the whole signatures."""
    probes, outputs, signatures = (np.load(GOLDEN / f"{name}.npz") for name in ("probes", "outputs", "signatures"))
    shape = tuple(probes["masks_shape"])
    masks = np.unpackbits(probes["masks"], count=int(np.prod(shape))).reshape(shape)[:REFERENCES]
    distances = json.loads((GOLDEN / "distances.json").read_text(encoding="utf-8"))
    pairs = [pair for pair in (tuple(names.split("|")) for names in distances) if set(pair) <= set(MODELS)]
    metrics = ("cosine", "l1", "l2", "linf")
    return {
        "images": probes["images"][:REFERENCES],
        "segments": probes["segments"][:REFERENCES].astype(np.int16),
        "n_segments": probes["n_segments"],
        "masks": np.packbits(masks, axis=-1),
        "mean": probes["mean"],
        "std": probes["std"],
        "perturbed": probes["perturbed_first4"][:1],
        "logits": outputs["logits_victim"][:REFERENCES],
        **{f"signature_{name}": signatures[name] for name in MODELS},
        "pairs": np.array(pairs),
        "metrics": np.array(metrics),
        "distances": np.array([[distances[f"{a}|{b}"][metric] for metric in metrics] for a, b in pairs]),
    }


def same(arrays: dict[str, np.ndarray]) -> bool:
    """Whether the file holds these arrays."""
    with np.load(PATH) as there:
        return set(there.files) == set(arrays) and all(np.array_equal(there[name], arrays[name]) for name in arrays)


if __name__ == "__main__":
    sys.exit(main())
