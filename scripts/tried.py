"""Note where the tests passed, and write that into docs/policy.md.

    python -m pytest ... --junitxml tests.xml
    python scripts/tried.py tests.xml --as NAME      the outcome of that run, with the Python that ran it, into the results
    python scripts/tried.py tests.xml --as NAME --quick      the same of a run with `-m "not slow"`
    python scripts/tried.py                     the table of docs/policy.md from the results
    python scripts/tried.py --check             exit with 1 if the table would change, or has no row of newest or oldest ones

Several outcomes may be given where tests were run again: a test counts as it ended last, and the results say which those are.

NAME says which dependencies there were: newest, or oldest. A run with a test that failed is not noted.
"""

import argparse
import json
import re
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "tests"
PAGE = ROOT / "docs" / "policy.md"
NAMES = ("newest", "oldest")
PACKAGES = ("flax", "scipy", "torch", "onnxruntime")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outcomes", nargs="*", type=Path, help="what pytest wrote for --junitxml")
    parser.add_argument("--as", dest="name", choices=NAMES, help="which dependencies there were")
    parser.add_argument("--quick", action="store_true", help="slow tests were left out")
    parser.add_argument("--check", action="store_true", help="change nothing")
    given = parser.parse_args()
    if given.outcomes:
        if given.name is None:
            parser.error("say which dependencies there were: --as newest, or --as oldest")
        note(given.outcomes, given.name, quick=given.quick)
    text = PAGE.read_text(encoding="utf-8")
    fresh = with_table(text)
    if given.check:
        if fresh != text:
            print("docs/policy.md does not show benchmarks/results/tests; run scripts/tried.py", file=sys.stderr)
        if missing := missing_rows(text):
            print(f"docs/policy.md tells of no tests with {' and '.join(missing)} dependencies", file=sys.stderr)
        return int(fresh != text or bool(missing))
    PAGE.write_text(fresh, encoding="utf-8")
    return 0


def note(outcomes: Sequence[Path], name: str, *, quick: bool = False) -> None:
    """Keep the outcome of a run of the tests, made by the Python that runs this."""
    sys.path.insert(0, str(ROOT))
    from benchmarks.record import environment

    counts = counted([path.read_text(encoding="utf-8") for path in outcomes])
    if counts["failed"]:
        raise SystemExit(f"{counts['failed']} tests failed; only a run in which all passed in the end is noted")
    about = environment(*PACKAGES)
    command = "make test" if name == "newest" else "make test-oldest"
    result = {
        "command": command + (""" ARGS='-m "not slow"'""" if quick else ""),
        "quick": quick,
        **counts,
        "environment": about,
    }
    python = ".".join(about["python"].split(".")[:2])
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"python-{python}-{name}.json"
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"written to {path.relative_to(ROOT)}")


def counted(texts: Sequence[str]) -> dict[str, Any]:
    """How many tests passed, failed and were skipped in the end, how long the first run took, and what was run again."""
    ended: dict[str, str] = {}
    again: list[str] = []
    for text in texts:
        for case in ET.fromstring(text).iter("testcase"):
            name = f"{case.get('classname')}.{case.get('name')}"
            if name in ended:
                again.append(name)
            kinds = {child.tag for child in case}
            ended[name] = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
    seconds = sum(float(suite.get("time", 0)) for suite in ET.fromstring(texts[0]).iter("testsuite"))
    counts = Counter(ended.values())
    return {
        **{kind: counts[kind] for kind in ("passed", "failed", "skipped")},
        "seconds": round(seconds, 1),
        "run_again": again,
    }


def missing_rows(text: str) -> list[str]:
    """Which dependencies the page tells nothing of."""
    return [name for name in NAMES if f"| {name} |" not in text]


def with_table(text: str) -> str:
    """Return the page with the table of what was run made anew."""
    lines = ["| Python | dependencies | JAX | NumPy | PyTorch | tests | passed | skipped | device |", "|" + "---|" * 9]
    for path in sorted(RESULTS.glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        about = result["environment"]
        jax, numpy, torch = (about["versions"][name].partition("+")[0] for name in ("jax", "numpy", "torch"))
        name = path.stem.rpartition("-")[2]
        lines.append(
            f"| {about['python']} | {name} | {jax} | {numpy} | {torch} | {'all but slow ones' if result['quick'] else 'all'} "
            f"| {result['passed']:,} | {result['skipped']} "
            f"| {about['processors']} cores ({about['processor']}) |"
        )
    block = "\n".join(lines) + "\n"
    text, n = re.subn(r"(<!-- tried -->\n).*?(<!-- /tried -->)", lambda m: f"{m[1]}{block}{m[2]}", text, flags=re.S)
    if n != 1:
        raise ValueError(f"docs/policy.md needs one block <!-- tried --> ... <!-- /tried -->; it has {n}")
    return text


if __name__ == "__main__":
    sys.exit(main())
