"""The process that makes one model of a zoo: `python -m zest_jax.zoo.worker CONFIG ROOT NAME [--cores 0,1]`."""

import argparse
import os
import sys
import threading
import time
import traceback
from pathlib import Path

_LOOK_EVERY = 0.5  # seconds


def main(argv: list[str] | None = None) -> int:
    """Make one model; 0 when it is whole."""
    parser = argparse.ArgumentParser(prog="zest_jax.zoo.worker")
    parser.add_argument("config")
    parser.add_argument("root", type=Path)
    parser.add_argument("name")
    parser.add_argument("--cores", default="")
    arguments = parser.parse_args(argv)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    if arguments.cores:
        # Before JAX starts its threads, of which it makes one per core.
        os.sched_setaffinity(0, {int(core) for core in arguments.cores.split(",")})
    from zest_jax.zoo.build import make_one

    try:
        made = make_one(arguments.config, arguments.root, arguments.name)
    except Exception as error:
        traceback.print_exc()
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    sys.stdout.write(f"{made.name}: accuracy {made.accuracy}, fingerprint {made.fingerprint}\n")
    return 0


def _end_with(parent: int) -> None:
    """End when the process that builds the zoo is killed: nobody else would."""
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
