"""Every error that capeval raises on purpose, and the exit code that each one means.

A message names the thing, the reason and the next command. Exit codes (see README): 0 pass, 1 regression,
2 usage or bad file, 3 something missing on this machine, 4 inconclusive. An error is never 0, 1 or 4:
those three are verdicts.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

EXIT_PASS = 0
EXIT_REGRESSION = 1
EXIT_USAGE = 2
EXIT_MISSING = 3
EXIT_INCONCLUSIVE = 4


class CapevalError(Exception):
    """Something that the user can mend; `exit_code` is what the command line returns."""

    exit_code = EXIT_USAGE


class UsageError(CapevalError):
    """A name, an option or a combination of them that means nothing."""


class BadFileError(CapevalError):
    """A file that exists but can't be used: malformed, cut, out of range, of another version."""


class PairingError(CapevalError):
    """Two sets of records that must not be compared item by item."""

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        """A few words for a ledger's row ("different shots")."""


class OutputError(CapevalError):
    """A place that can't be written: read-only, full, or taken by something else."""


class MissingError(CapevalError):
    """Something that is not on this machine: weights, data, a package, a device."""

    exit_code = EXIT_MISSING


class EngineError(CapevalError):
    """A model that answers nonsense (NaN logits, for example) or an engine that stopped."""

    exit_code = EXIT_MISSING


def unknown(kind: str, name: str, known: Iterable[str], listing: str) -> UsageError:
    """The did-you-mean error: `unknown suite 'cott'; did you mean 'cot'? \\`capeval list suites\\``.

    Args:
        kind: What was looked up, singular ("suite").
        name: What the user wrote.
        known: The names that exist.
        listing: The command that lists them ("capeval list suites").
    """
    return UsageError(f"unknown {kind} '{name}'{_hint(name, known)} `{listing}` shows what there is.")


def not_among(kind: str, name: str, known: Iterable[str]) -> str:
    """The same for names that one file decides: `no filter 'strikt'; did you mean 'strict'? There are: strict …`."""
    names = list(known)
    return f"no {kind} '{name}'{_hint(name, names)} There are: {', '.join(names) or 'none'}"


def _hint(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else "."
