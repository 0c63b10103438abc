"""`zest_jax[test]`: tests of the sdist run; those that an extra brings are not left out."""

import subprocess
import sys

tests = [
    "tests/test_distances.py",
    "tests/cli/test_export.py",
    "tests/cli/test_store.py",
    "tests/report/test_probes.py",
]
# Not a test may be left out: this extra brings all that they need.
quick = ["-q", "-x", "-n", "2", "-p", "no:cacheprovider"]
done = subprocess.run(
    [sys.executable, "-m", "pytest", *quick, *tests], cwd=sys.argv[1], capture_output=True, text=True, check=False
)
print(done.stdout, done.stderr, file=sys.stderr)
sys.exit(done.returncode or "skipped" in done.stdout)
