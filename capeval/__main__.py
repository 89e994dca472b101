"""`python -m capeval` and the console script are `capeval`, in a process of its own."""

import gc

from capeval.cli import main


def look_less_for_garbage() -> None:
    """For a process of one's own: the default would visit what stays many times."""
    gc.set_threshold(100_000, 20, 20)


def program() -> None:
    """Run a command, with little search for garbage.

    Imports make a million objects that stay. By default each is visited many times while they are made, and again when
    the process ends: a good part of a small run (`python -m benchmarks.startup`). Here fewer objects are looked at, and
    none at the end.
    """
    look_less_for_garbage()
    try:
        main()
    finally:
        gc.freeze()


if __name__ == "__main__":
    program()
