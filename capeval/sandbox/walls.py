"""The command that puts a Python program behind walls: bubblewrap, its mounts, and which Python runs inside."""

from __future__ import annotations

import os
import shutil
import sys
from functools import lru_cache
from pathlib import Path

from capeval.errors import MissingError
from capeval.sandbox.seccomp import has_filter

INSTALL = "install bubblewrap 0.8 or newer (Debian, Ubuntu: apt-get install bubblewrap; Fedora: dnf install bubblewrap)"
NOBODY = 65534


def bubblewrap() -> str:
    """Path of bwrap.

    Raises:
        MissingError: it is not here, or this machine's system calls can't be filtered.
    """
    found = shutil.which("bwrap")
    if not found:
        raise MissingError(f"code that a model wrote runs only in a sandbox, and bwrap is not here: {INSTALL}")
    if not has_filter():
        raise MissingError(
            "code that a model wrote runs only in a sandbox, which capeval has on Linux x86-64 and arm64"
        )
    return found


@lru_cache(maxsize=1)
def interpreter() -> Path:
    """A Python that programs in the sandbox can read: this one's base installation, else the system's.

    Raises:
        MissingError: this Python is where the sandbox can't show it (root's home folder, /work), and there is no other.
    """
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (Path(sys.base_prefix) / "bin" / version, Path("/usr/bin/python3")):
        if candidate.is_file() and _mountable(candidate.parent.parent) and _readable(candidate.resolve()):
            return candidate
    raise MissingError(
        f"the sandbox can't show this Python ({sys.base_prefix}) to the unprivileged user that programs run as: "
        "install the system's (apt-get install python3)"
    )


def _mountable(prefix: Path) -> bool:
    """Neither around the home folder nor where the sandbox's own mounts would hide it."""
    if prefix.is_relative_to("/work") or prefix.is_relative_to("/dev"):
        return False
    try:
        return not Path.home().is_relative_to(prefix)
    except RuntimeError:  # HOME is not set, and this user is not in /etc/passwd
        return True


def _readable(path: Path) -> bool:
    """By the user that the sandbox runs as: nobody when we are root, else ourselves."""
    if os.geteuid() == 0:
        return all(p.stat().st_mode & 0o001 for p in (path, *path.parents))
    return os.access(path, os.X_OK)


def command(bwrap: str, disk: int, rules: int) -> list[str]:
    """bwrap with everything but the program.

    Args:
        bwrap: Its path.
        disk: Bytes that the work folder may hold.
        rules: File descriptor with the seccomp filter.
    """
    mounts = ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "lib", "lib32", "lib64"):
        here = Path("/") / name
        if here.is_symlink():
            mounts += ["--symlink", str(here.readlink()), str(here)]
        elif here.is_dir():
            mounts += ["--ro-bind", str(here), str(here)]
    python = interpreter()
    prefix = python.parent.parent
    if not prefix.is_relative_to("/usr"):
        mounts += ["--ro-bind", str(prefix), str(prefix)]
    # what bwrap makes itself (/ and /dev) are unlimited disks in memory until they are read-only
    mounts += ["--dev", "/dev", "--remount-ro", "/dev", "--size", str(disk), "--tmpfs", "/work", "--remount-ro", "/"]
    return [
        bwrap, "--unshare-all", "--unshare-user", "--disable-userns", "--uid", str(NOBODY), "--gid", str(NOBODY),
        "--cap-drop", "ALL", "--hostname", "sandbox", "--die-with-parent", "--new-session", "--clearenv",
        "--setenv", "PYTHONHASHSEED", "0", "--setenv", "PYTHONUTF8", "1", "--setenv", "PATH", "/usr/bin",
        *mounts, "--chdir", "/work", "--seccomp", str(rules), "--", str(python), "-sSB",
    ]  # fmt: skip
