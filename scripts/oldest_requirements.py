"""Print the oldest requirements that pyproject.toml allows, one `name==version` a line.

    python scripts/oldest_requirements.py [EXTRA ...]

`make test-oldest` installs them and runs the tests, so that the lower bounds stay true. PyTorch is left out: it is
several GB for each version, and the Makefile installs its own, which then dictates SymPy's version.
"""

import re
import sys
import tomllib
from pathlib import Path

LEFT_OUT = {"sympy", "torch"}


def oldest(requirements: list[str], extras: dict[str, list[str]], seen: set[str]) -> list[str]:
    """Turn `name>=version` into `name==version`, following the package's own extras."""
    pins = []
    for requirement in requirements:
        match = re.fullmatch(r"(?P<name>[\w.-]+)(\[(?P<extras>[\w,-]+)\])?(>=(?P<version>[\w.]+))?", requirement)
        if match is None:
            raise SystemExit(f"cannot read the requirement {requirement!r}; write it as `name>=version`")
        if match["name"] == "zest_jax":
            for extra in match["extras"].split(","):
                if extra not in seen:
                    seen.add(extra)
                    pins += oldest(extras[extra], extras, seen)
        elif match["version"] is None:
            raise SystemExit(f"the requirement {requirement!r} has no lower bound; write it as `name>=version`")
        elif match["name"] not in LEFT_OUT:
            pins.append(f"{match['name']}=={match['version']}")
    return pins


def main() -> None:
    text = (Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    requirements = [*project["dependencies"], *(f"zest_jax[{extra}]" for extra in sys.argv[1:])]
    pins = oldest(requirements, project["optional-dependencies"], set())
    # jaxlib is jax's other half, and jax itself accepts newer ones.
    pins += [pin.replace("jax==", "jaxlib==") for pin in pins if pin.startswith("jax==")]
    print("\n".join(sorted(set(pins))))


if __name__ == "__main__":
    main()
