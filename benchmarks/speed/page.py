"""How fast it is, from the results files: writes docs/performance.md.

    python -m benchmarks.speed.page

Reads every file in benchmarks/results/speed (one for each device that was measured) and the zoo of benchmarks/zoo/small.py.
Nothing in the page is typed by hand. Ratios are medians over rounds in each of which both ways ran one after the other.
"""

import json
import pathlib
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks.record import RESULTS, ROOT
from benchmarks.speed.sizing import table
from zest_jax.atomic import atomic_write

PAGE = ROOT / "docs" / "performance.md"
Result = Mapping[str, Any]
_HEAD = """# Performance

Made by `python -m benchmarks.speed.page` from the files in `benchmarks/results`; no figure in it is typed by hand. A ratio is
against a named alternative that ran side by side, and its range that of the rounds. Shared machines drift by several percent
between rounds, so read ratios, not seconds. What was tried and left is in [the notes](../benchmarks/NOTES.md); what stores of
up to a million models need, in [sizing](sizing.md).
"""


def main() -> None:
    with atomic_write(PAGE) as file:
        file.write(page().encode())
    print(f"written to {PAGE.relative_to(ROOT)}")


def page(results: pathlib.Path = RESULTS) -> str:
    """The page, from the results files."""
    parts = [_HEAD, f"Measured on: {'; '.join(_machines(results))}.\n"]
    for name, title, about, rows in SECTIONS:
        parts.append(f"## {title}\n\n{about}\n")
        for path in sorted((results / "speed" / name).glob("*.json")):
            result = _read(path)
            parts.append(
                f"`{result['command']}` on {machine(result)}, JAX {result['environment']['versions']['jax']} (`{path.name}`):\n"
            )
            parts.append(rows(result) + "\n")
    return "\n".join([*parts, _zoo(results / "zoo" / "cifar10-small")])


def machine(result: Result) -> str:
    """The device of a result in words.

    >>> machine({"environment": {"platform": "cpu", "processors": 2, "processor": "AMD EPYC", "device": "cpu", "devices": 1}})
    '2 cores (AMD EPYC)'
    """
    found = result["environment"]
    if found["platform"] == "cpu":
        return f"{found['processors']} cores ({found['processor']})"
    return f"{found['devices']} x {found['device']}"


def ratio(over: Sequence[float], under: Sequence[float]) -> str:
    """Median and range of the rounds' ratios.

    >>> ratio([2.0, 3.0, 4.0], [1.0, 1.0, 2.0])
    '2.00 (2.00 to 3.00, 3 rounds)'
    """
    rounds = [a / b for a, b in zip(over, under, strict=True)]
    return f"{statistics.median(rounds):.2f} ({min(rounds):.2f} to {max(rounds):.2f}, {len(rounds)} rounds)"


def _sign(result: Result) -> str:
    probes, options = result["probes"], result["options"]
    rows = [
        ("references x masks", [f"{options['n_references']} x {options['n_samples']:,}"]),
        ("questions asked of so many", [f"{probes['distinct']:,} of {probes['samples']:,}"]),
    ]
    for name, model in result["models"].items():
        seconds = model["seconds"]
        rows.append((f"{name}: signing, seconds", [f"{statistics.median(seconds['sign']):.1f}"]))
        rows.append((f"{name}: signing / bare model", [ratio(seconds["sign"], seconds["bare"])]))
        if "2022" in seconds:
            rows.append((f"{name}: the way of 2022 / signing", [ratio(seconds["2022"], seconds["sign"])]))
        if "callback" in seconds:
            rows.append((f"{name}: asked from compiled code / signing", [ratio(seconds["callback"], seconds["sign"])]))
    return table(["", ""], rows)


def _text_audio(result: Result) -> str:
    rows = []
    for name, batches in result["models"].items():
        for size, timed in batches.items():
            seconds = timed["seconds"]
            sign = f"{statistics.median(seconds['sign']):.1f}"
            rows.append((name, [size, sign, ratio(seconds["sign"], seconds["bare"])]))
    return table(["model", "batch", "signing, seconds", "signing / bare model"], rows)


def _memory(result: Result) -> str:
    rows = [
        (
            f"{size} x {size}",
            [
                found["model"],
                f"{found['model_mib']:,.0f} MiB",
                f"{found['above_model_mib']:,.0f} MiB",
                f"{found['dense_build_mib']:,.0f} MiB",
            ],
        )
        for size, found in result["sizes"].items()
    ]
    return table(["inputs", "model", "of the bare model", "above it", "all inputs at once, as in 2022"], rows)


def _solve(result: Result) -> str:
    rows = [
        (
            name,
            [
                f"{case['references']}, up to {case['max_segments']}",
                f"{case['median_seconds']['factored']:.3f}",
                f"{case['median_seconds']['factored, next model']:.3f}",
                f"{case['median_seconds']['lstsq']:.3f}",
                f"{case['largest_relative_difference']:.0e}",
            ],
        )
        for name, case in result["cases"].items()
    ]
    head = [
        "inputs",
        "references, segments",
        "factored, seconds",
        "next model",
        "`lstsq`",
        "largest relative difference",
    ]
    return table(head, rows)


def _align(result: Result) -> str:
    pairs = result["median_seconds"]
    names = [name for name in pairs["related"] if name.startswith("match, ")]
    rows = [(name.removeprefix("match, "), [f"{1000 * pair[name]:.1f}" for pair in pairs.values()]) for name in names]
    return table(["matching, milliseconds", *(f"{name} models" for name in pairs)], rows)


def _quickshift(result: Result) -> str:
    rows = [
        (
            f"{size} x {size}",
            [
                f"{1000 * found['median_seconds_per_image']['jax_float64']:.1f}",
                f"{found['speedup_of_jax_float64']['skimage_serial']:.1f}",
                f"{found['speedup_of_jax_float64']['skimage_threads']:.1f}",
                f"{found['images_with_scikit_image_labels']['jax_float64']} of {found['images']}",
            ],
        )
        for size, found in result["sizes"].items()
    ]
    head = ["images", "milliseconds an image", "times faster than scikit-image", "than its threads", "same labels"]
    return table(head, rows)


def _train(result: Result) -> str:
    seconds = result["seconds_per_round"]
    ours, theirs = seconds["zest_jax"], seconds["PyTorch, channels last"]
    rows = [("one model: zest_jax / PyTorch", [ratio(ours, theirs)])]
    if together := result.get("side by side"):
        name = f"{together['processes']} models side by side, each: zest_jax / PyTorch"
        rows.append((name, [f"{together['/ PyTorch']:.2f}"]))
    return table(["", ""], rows)


def _convolutions(result: Result) -> str:
    rows = [("forward and gradients: XLA / PyTorch", [f"{result['XLA / PyTorch']:.2f}"])]
    return table(["", ""], rows)


def _mobile_convolutions(result: Result) -> str:
    rows = [
        ("as sums and products / XLA's convolutions", [f"{result['ours / XLA']:.3f}"]),
        ("as sums and products / PyTorch", [f"{result['ours / PyTorch']:.2f}"]),
    ]
    return table(["", ""], rows)


def _screen(result: Result) -> str:
    search, recall, models = result["search"], result["recall"], result["options"]["models"]
    rows = [
        (f"search among {models:,}, within a process, seconds", [f"{search['seconds in a process, median']:.2f}"]),
        ("memory of `zest screen`, MiB", [f"{search['memory through the command line, MiB']:,.0f}"]),
        (f"of the 10 nearest, found by {recall['candidates']} candidates", [f"{recall['recall@10']:.1%}"]),
        (f"all pairs of {result['all pairs']['models']:,}, seconds", [f"{result['all pairs']['seconds']:.1f}"]),
    ]
    return table(["", ""], rows)


def _sign_all(result: Result) -> str:
    ratios = result["ratios"]
    rows = [(name, [f"{value:.2f}"]) for name, value in ratios.items()]
    return table([f"{result['options']['models']} models", "ratio"], rows)


#: Folder in benchmarks/results/speed, title, what is compared, and the table of one result.
SECTIONS: tuple[tuple[str, str, str, Callable[[Result], str]], ...] = (
    (
        "sign",
        "Signing",
        """The bare model answers as many inputs as there are distinct questions, and nothing else. The way of 2022 builds all
perturbed inputs first, asks every repeat, and inverts per model. The first round compiles the fits, which shows on a GPU.""",
        _sign,
    ),
    (
        "sign_text_audio",
        "Signing models of texts and sounds",
        "Where the model itself takes next to no time, as `tfidf` does, composing the questions is what is timed.",
        _text_audio,
    ),
    (
        "memory",
        "Memory",
        "Peak memory of the process while signing, and what holding all perturbed inputs would take.",
        _memory,
    ),
    (
        "solve",
        "Local fits",
        "The factored solver prepares the masks once for all models; `lstsq` is `jnp.linalg.lstsq` under `vmap`, the oracle.",
        _solve,
    ),
    ("align", "Class alignment", "A thousand classes by a thousand. The ways that the `align` argument names.", _align),
    ("quickshift", "Super-pixels", "`quickshift-jax` in float64 against scikit-image's Quickshift.", _quickshift),
    ("screen", "Searching a store", "A store of signatures, and suspects that are searched for in it.", _screen),
    (
        "sign_all",
        "Many models",
        "Time of Ray on two local nodes, of a plain loop, and of two plain processes side by side, over each other.",
        _sign_all,
    ),
    (
        "train",
        "Training",
        "ResNet20 on CIFAR-10, against the same in PyTorch: above 1, PyTorch is faster.",
        _train,
    ),
    ("convolutions", "Convolutions", "Those of ResNet20 alone, on a CPU: above 1, PyTorch is faster.", _convolutions),
    (
        "mobile_convolutions",
        "Depthwise convolutions",
        "Those of MobileNetV2, computed as sums and products on CPUs; forward passes and gradients together.",
        _mobile_convolutions,
    ),
)


def _zoo(folder: pathlib.Path) -> str:
    result = _read(folder / "distances.json")
    minutes = sum(build["seconds"] for build in result["builds"]) / 60
    options = result["options"]
    return (
        f"## A small zoo\n\n{len(result['models'])} models, built in {minutes:.0f} minutes on {machine(result)} by "
        f"`make zoo-small`; {options['n_references']} references, {options['n_samples']} masks. Relative distance divides by the "
        f"mean of the independent models.\n\n{(folder / 'table.md').read_text(encoding='utf-8')}"
    )


def _machines(results: pathlib.Path) -> Iterator[str]:
    """Every kind of machine that the page tells of, once."""
    paths = [path for name, *_ in SECTIONS for path in sorted((results / "speed" / name).glob("*.json"))]
    yield from dict.fromkeys(machine(_read(path)) for path in paths)


def _read(path: pathlib.Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
