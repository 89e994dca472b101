"""Where tasks/, model_zoo/ and reports/templates/ are: in the checkout first, else inside the wheel.

`python -c "from capeval.shipped import folder; print(folder('model_zoo'))"`
"""

from __future__ import annotations

from pathlib import Path

from capeval.errors import MissingError

_PACKAGE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """The folder `name` ("tasks", "model_zoo", "reports/templates") that came with this installation.

    Raises:
        MissingError: when neither the checkout nor the wheel holds it (a broken installation).
    """
    for root in (_PACKAGE.parent, _PACKAGE / "_shipped"):
        candidate = root / name
        # a stray site-packages/tasks of another project must not be taken for ours
        if candidate.is_dir() and (root != _PACKAGE.parent or (root / "pyproject.toml").is_file()):
            return candidate
    raise MissingError(f"this installation of capeval lacks its folder '{name}'; reinstall it: pip install capeval")
