"""How a result was made: the command, when, with which versions. Every manifest and trace says it in the same words."""

from __future__ import annotations

import platform
import shlex
import sys
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from capeval import __version__


def made_with(*packages: str) -> dict[str, Any]:
    """command, created (UTC) and versions of Python, capeval and the packages (by their distribution names)."""
    return {
        # the program's own name, so that the command reads the same wherever it was installed
        "command": shlex.join(["capeval", *sys.argv[1:]]),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), "capeval": __version__}
        | {package: metadata.version(package) for package in packages},
    }
