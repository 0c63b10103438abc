"""The Ray cluster: joining it, or starting one on this machine; how many models it can take at a time."""

import contextlib
import importlib
import logging
import math
import os
import platform
import re
import shutil
import socket
import tempfile
import threading
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from zest_jax.cores import usable_cores
from zest_jax.errors import ClusterError, missing_extra
from zest_jax.many.job import Say

# Seconds that an address has for an answer.
REACH = 5.0
# Seconds that Ray itself takes at most to find out that a head does not answer it.
JOINING = 20
# Bytes of a Ray of our own for probes and signatures under way, besides twice the probes.
ROOM = 256 * 2**20
# What Ray adds to the path of its folder for its longest socket, and what systems allow for all of it.
_SOCKET, _LONGEST = 70, 103
# In the folder of a Ray of our own, the file that tells where its process runs.
_OWNER = "owner"
_OWN_FOLDER = re.compile(r"zest-ray-(\d+)-\w+")
# A line of the log of Ray's C++ code: it names the source.
_NATIVE = re.compile(rb"\w\.(cc|h):\d+[:\]]")


def import_ray() -> Any:
    """The module `ray`.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise missing_extra("ray", "cluster") from error


@contextlib.contextmanager
def connected(address: str | None, *, room: int, say: Say = lambda text: None) -> Iterator[Any]:
    """Give the module `ray`, connected to a cluster.

    Args:
        address: HOST:PORT of its head, "auto" for the one that this machine belongs to, or None to start a Ray on this machine,
            which is ended afterwards with all its files. A connection that this process has already is taken as it is.
        room: bytes of the probes, for which a Ray of our own must have room.
        say: is told that a cluster is being joined, which can take a while.

    Raises:
        MissingExtraError: Ray is not installed.
        ValueError: it is no address.
        ClusterError: it cannot be reached or joined.
    """
    if address is not None:
        check_address(address)
    ray = import_ray()
    if ray.is_initialized():
        here = ray.get_runtime_context().gcs_address
        if address not in (None, "auto", here):
            raise ClusterError(
                f"this process is connected to the Ray cluster {here} already, not to {address}; call `ray.shutdown()` first"
            )
        yield ray
        return
    # Ray counts its users by default, which nobody asked for here.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "include_dashboard": None}
    with contextlib.ExitStack() as stack:
        if address is None:
            folder = own_folder()
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            stack.callback(ray.shutdown)
            # Ray lets everybody into the folder that it is given; nobody else comes into the one around it.
            _started(ray, {**quiet, "include_dashboard": False}, os.path.join(folder, "r"), room)
        else:
            say(f"connecting to {'the Ray cluster' if address == 'auto' else address} (up to {JOINING} s)")
            _reach(address)
            stack.callback(ray.shutdown)
            _joined(ray, address, quiet)
        yield ray


def places(ray: Any, cpus: float, gpus: float) -> int:
    """How many models the nodes that are alive can sign at a time, if nobody else uses them.

    Args:
        ray: the module, connected.
        cpus: of one model.
        gpus: of one model.
    """
    found = 0
    for node in ray.nodes():
        if node["Alive"]:
            found += places_of(node["Resources"], cpus, gpus)
    return found


def places_of(resources: Mapping[str, float], cpus: float, gpus: float) -> int:
    """How many models a node can sign at a time.

    >>> places_of({"CPU": 8.0, "GPU": 1.0}, 1, 0.25), places_of({"CPU": 8.0}, 3, 0), places_of({"CPU": 8.0}, 1, 1)
    (4, 2, 0)
    """
    have = [resources.get(name, 0) / needed for name, needed in (("CPU", cpus), ("GPU", gpus)) if needed]
    return math.floor(min(have) + 1e-9)


def described(ray: Any) -> str:
    """The nodes in words, largest first."""
    alive = sorted(
        ((node["Resources"].get("CPU", 0), node["Resources"].get("GPU", 0)) for node in ray.nodes() if node["Alive"]),
        reverse=True,
    )
    shown = [f"{cpus:g} CPUs and {gpus:g} GPUs" for cpus, gpus in alive[:3]] + ["..."] * (len(alive) > 3)
    return f"{len(alive)} nodes ({'; '.join(shown)})" if len(alive) != 1 else f"one node ({shown[0]})"


def _started(ray: Any, settings: Mapping[str, Any], folder: str, room: int) -> None:
    try:
        _init(
            ray,
            "local",
            num_cpus=usable_cores(),
            object_store_memory=2 * room + ROOM,
            _temp_dir=folder,
            **settings,
        )
    except Exception as error:  # Ray raises what it likes
        raise ClusterError(
            f"Ray could not be started on this machine ({_first_line(error)}); leave out Ray, or start it by hand "
            "(`ray start --head`) and give its address"
        ) from error


def _joined(ray: Any, address: str, settings: Mapping[str, Any]) -> None:
    try:
        with native_log_kept_back():
            _init(ray, address, **settings)
    except Exception as error:  # Ray raises what it likes
        text = str(error)
        if "ersion mismatch" in text:
            raise ClusterError(
                f"the Ray cluster {address} was started with other versions than this process has (Ray {ray.__version__}, Python "
                f"{platform.python_version()}): {' '.join(text.split())}; install the same versions on every machine"
            ) from error
        raise ClusterError(
            f"cannot join the Ray cluster {address} ({_first_line(error)}); run this on a machine that belongs to it: on the "
            "first `ray start --head`, on the others `ray start --address=HOST:6379`. Where the cluster asks for a token, set "
            "RAY_AUTH_MODE=token (`ray get-auth-token` shows it)"
        ) from error


def _init(ray: Any, address: str, **settings: Any) -> None:
    with warnings.catch_warnings():
        # Ray forks to start its programs, at once; and tells what future versions will do.
        for text in (r"os\.fork\(\) was called", "lance is not fork-safe", "Tip: In future versions of Ray"):
            warnings.filterwarnings("ignore", message=text)
        ray.init(address, **settings)


def check_address(address: str) -> None:
    """Refuse what cannot be the address of a cluster.

    Raises:
        ValueError: it is none.

    >>> check_address("10.0.0.1:6379")
    >>> check_address("cluster")
    Traceback (most recent call last):
    ValueError: 'cluster' is no address of a Ray cluster; give HOST:PORT of its head (Ray takes port 6379), or auto
    """
    if address == "auto":
        return
    if "://" in address:
        raise ValueError(
            f"{address} is an address of Ray Client, which loses its tasks when its connection breaks; run this on a machine of "
            "the cluster and give HOST:PORT of its head, or auto"
        )
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal():
        raise ValueError(
            f"{address!r} is no address of a Ray cluster; give HOST:PORT of its head (Ray takes port 6379), or auto"
        )


def _reach(address: str) -> None:
    """Refuse in a moment what Ray would try to reach for a long time."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=REACH) as line:
            greeted = _speaks_http2(line)
    except (OSError, OverflowError) as error:
        raise ClusterError(
            f"nothing answers at {address} ({error}); start the cluster's head there with `ray start --head --port={port}`, or "
            "give the address that it printed"
        ) from error
    if not greeted:
        raise ClusterError(
            f"what answers at {address} is no head of a Ray cluster; give the address that `ray start --head` printed"
        )


def _speaks_http2(line: socket.socket) -> bool:
    """Whether the other end of a new connection speaks HTTP/2, as Ray's head does; Ray itself would wait for minutes."""
    if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
        return True
    # The preface of a client, and its settings: none. A server answers with its own (RFC 9113, 3.4), type 4 in the fourth byte.
    line.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
    answer = b""
    with contextlib.suppress(TimeoutError):
        while len(answer) < 9 and (more := line.recv(9 - len(answer))):
            answer += more
    return len(answer) == 9 and answer[3] == 4


@contextlib.contextmanager
def native_log_kept_back() -> Iterator[None]:
    """Leave out of stderr what Ray's C++ code logs: hundreds of lines where a head does not answer; all else passes.

    It writes to the file descriptor, and reads the settings of its log after that.
    """
    try:
        kept = os.dup(2)
    except OSError:  # closed
        yield
        return
    reading, writing = os.pipe()

    def pass_on() -> None:
        with os.fdopen(reading, "rb") as lines:
            for line in lines:
                if not _NATIVE.search(line):
                    with contextlib.suppress(OSError):
                        os.write(kept, line)

    os.dup2(writing, 2)
    os.close(writing)
    thread = threading.Thread(target=pass_on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.dup2(kept, 2)
        thread.join(5.0)
        # A process that was started meanwhile may still write.
        if not thread.is_alive():
            os.close(kept)


def own_folder() -> str:
    """A folder for the files of a Ray of our own, for this user alone; those that killed processes left are removed.

    Its path must be short, since sockets are among the files.
    """
    root = tempfile.gettempdir()
    if len(f"{root}/zest-ray-1234567-12345678/r") + _SOCKET > _LONGEST and os.path.isdir("/tmp"):
        root = "/tmp"
    remove_left_behind(root)
    folder = tempfile.mkdtemp(prefix=f"zest-ray-{os.getpid()}-", dir=root)
    Path(folder, _OWNER).write_text(_machine(), encoding="utf-8")
    return folder


def remove_left_behind(root: str) -> None:
    """Remove the folders in which processes of this user on this machine, which have ended, kept a Ray of their own."""
    if os.name == "nt":
        # Where asking for a process by a signal would end it.
        return
    for path in Path(root).glob("zest-ray-*"):
        match = _OWN_FOLDER.fullmatch(path.name)
        with contextlib.suppress(OSError):
            if not match or path.is_symlink() or path.lstat().st_uid != os.getuid():
                continue
            if (path / _OWNER).read_text(encoding="utf-8") == _machine() and not _runs(int(match[1])):
                shutil.rmtree(path, ignore_errors=True)


def _machine() -> str:
    """Where the numbers of processes are those that this process sees: machines and containers may share a folder."""
    spaces = Path("/proc/self/ns/pid")
    return f"{socket.gethostname()} {os.readlink(spaces) if spaces.is_symlink() else ''}"


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
