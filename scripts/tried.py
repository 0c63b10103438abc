"""Note where the tests passed, and write that into docs/policy.md.

    python -m pytest ... --junitxml tests.xml
    python scripts/tried.py tests.xml NAME      the outcome of that run, with the Python that ran it, into the results
    python scripts/tried.py tests.xml NAME --quick      the same of a run with `-m "not slow"`
    python scripts/tried.py                     the table of docs/policy.md from the results
    python scripts/tried.py --check             exit with 1 if the table would change

NAME says which dependencies there were: newest, or oldest. A run with a test that failed is not noted.
"""

import argparse
import json
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "tests"
PAGE = ROOT / "docs" / "policy.md"
PACKAGES = ("flax", "scipy", "torch", "onnxruntime")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outcome", nargs="?", help="what pytest wrote for --junitxml")
    parser.add_argument("name", nargs="?", choices=("newest", "oldest"), help="which dependencies there were")
    parser.add_argument("--quick", action="store_true", help="slow tests were left out")
    parser.add_argument("--check", action="store_true", help="change nothing")
    given = parser.parse_args()
    if given.outcome:
        if given.name is None:
            parser.error("say which dependencies there were: newest or oldest")
        note(Path(given.outcome), given.name, quick=given.quick)
    text = PAGE.read_text(encoding="utf-8")
    fresh = with_table(text)
    if given.check:
        if fresh != text:
            print("docs/policy.md does not show benchmarks/results/tests; run scripts/tried.py", file=sys.stderr)
        return int(fresh != text)
    PAGE.write_text(fresh, encoding="utf-8")
    return 0


def note(outcome: Path, name: str, *, quick: bool = False) -> None:
    """Keep the outcome of a run of the tests, made by the Python that runs this."""
    sys.path.insert(0, str(ROOT))
    from benchmarks.record import environment

    counts = counted(outcome.read_text(encoding="utf-8"))
    if counts["failed"]:
        raise SystemExit(f"{outcome}: {counts['failed']} tests failed; only a run in which all passed is noted")
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


def counted(text: str) -> dict[str, Any]:
    """How many tests passed, failed and were left out, and how long all took.

    >>> counted('<testsuites><testsuite tests="9" failures="1" errors="1" skipped="2" time="3.21"/></testsuites>')
    {'passed': 5, 'failed': 2, 'skipped': 2, 'seconds': 3.2}
    """
    suites = ET.fromstring(text).findall("testsuite")
    totals = {
        key: sum(int(suite.get(key, 0)) for suite in suites) for key in ("tests", "failures", "errors", "skipped")
    }
    failed = totals["failures"] + totals["errors"]
    return {
        "passed": totals["tests"] - failed - totals["skipped"],
        "failed": failed,
        "skipped": totals["skipped"],
        "seconds": round(sum(float(suite.get("time", 0)) for suite in suites), 1),
    }


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
