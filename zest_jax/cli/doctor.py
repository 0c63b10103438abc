"""`zest doctor`: what is installed, which devices there are, and whether they compute what they should."""

import dataclasses
import platform
from importlib import metadata
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import arg

from zest_jax.cli.console import note, print_json, result_console
from zest_jax.cli.options import OFF, Common
from zest_jax.errors import ZestError

if TYPE_CHECKING:
    from zest_jax.doctor import Extra
    from zest_jax.doctor.self_check import Check


@dataclasses.dataclass(frozen=True, kw_only=True)
class Doctor(Common):
    """Tell versions, devices and extras, and check this machine's results against the paper authors'.

    The check takes less than a minute. Exit code 1 if a part of it does not agree, or a package that is always needed is missing
    or too old.
    """

    check: Annotated[bool, arg(help_behavior_hint="(default: checked)")] = True
    """Leave out the self-check."""

    json: Annotated[bool, OFF] = False
    """Print JSON."""

    def run(self) -> None:
        from zest_jax.doctor import extras

        try:
            parts = extras()
        except metadata.PackageNotFoundError:
            note("zest_jax is not installed but imported from a folder, so its extras are not known; pip install it")
            parts = []
        lacking = [each.name for part in parts if not part.name for each in part.requirements if not each.fits]
        about = _about()
        if not self.json:
            _print_about(about, parts)
        checks = [] if lacking or not self.check else self._checks()
        if self.json:
            print_json(
                {**about, "extras": [_as_json(part) for part in parts], "checks": [check._asdict() for check in checks]}
            )
        if lacking:
            raise ZestError(
                f"missing or of another version: {', '.join(lacking)}; `pip install zest_jax` brings them. Without them nothing "
                "was checked"
            )
        if broken := [check.name for check in checks if not check.computed]:
            raise ZestError(f"could not be computed: {', '.join(broken)}; see the errors above")
        if failed := [check.name for check in checks if not check.passed]:
            raise ZestError(
                f"{', '.join(failed)}: this machine computes something else than the paper authors' code; distances made here "
                "cannot be trusted. Look for another version of JAX or of its plugin, or for a flag that lowers the precision"
            )

    def _checks(self) -> "list[Check]":
        from zest_jax.doctor.self_check import self_check

        found = []
        for check in self_check():
            found.append(check)
            if not self.json:
                mark = "agrees" if check.passed else "DIFFERS" if check.computed else "FAILED"
                result_console().print(
                    f"{check.name:<32} {mark:<8} {check.text} ({check.seconds:.1f} s)", soft_wrap=True
                )
        return found


def _about() -> dict[str, Any]:
    from zest_jax.doctor import devices
    from zest_jax.version import __version__

    try:
        seen = devices()
    except (ImportError, RuntimeError) as error:
        seen = [f"none: {error}"]
    try:
        jax = metadata.version("jax")
    except metadata.PackageNotFoundError:
        jax = None
    return {
        "zest_jax": __version__,
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        "jax": jax,
        "devices": seen,
    }


def _print_about(about: dict[str, Any], parts: "list[Extra]") -> None:
    from rich import box
    from rich.table import Table

    console = result_console()
    for name, value in about.items():
        console.print(f"{name:<10} {'; '.join(value) if isinstance(value, list) else value}", soft_wrap=True)
    table: Any = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("extra", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("packages", overflow="fold")
    for part in parts:
        there = [f"{each.name.partition('>')[0]} {each.version}" for each in part.requirements if each.fits]
        lacking = [
            f"{each.name} ({'missing' if each.version is None else f'{each.version} is there'})"
            for each in part.requirements
            if not each.fits
        ]
        table.add_row(
            part.name or "(always)", "complete" if part.complete else "not complete", ", ".join([*lacking, *there])
        )
    console.print(table)


def _as_json(part: "Extra") -> dict[str, Any]:
    return {
        "name": part.name,
        "complete": part.complete,
        "requirements": [each._asdict() for each in part.requirements],
    }
