"""The first program inside the sandbox: sets the limits, runs the untrusted program, and only then says so.

Its text goes to the sandbox's Python with `-c`, so it uses the standard library only and nothing of capeval.
"""

import contextlib
import os
import resource
import sys
import traceback
import types

MEMORY = 101
"""Exit code of a program that ended with MemoryError."""
STARTED = b"\0started\0"
"""First bytes of the output: what follows is the program's doing, not the sandbox's."""


def main() -> None:
    """Limits, then the program from standard input, then the token, which is read after the program has ended."""
    proof, cpu, memory, disk, files = (int(given) for given in sys.argv[1:])
    sys.argv = ["program"]
    os.write(1, STARTED)
    limits = (
        (resource.RLIMIT_CPU, cpu, cpu + 1),  # SIGXCPU, and for those who ignore it SIGKILL
        (resource.RLIMIT_AS, memory, memory),
        (resource.RLIMIT_FSIZE, disk, disk),
        (resource.RLIMIT_NOFILE, files, files),
        (resource.RLIMIT_NPROC, 1, 1),
        (resource.RLIMIT_CORE, 1, 1),  # 0 would still start a program that the kernel hands core dumps to
        (resource.RLIMIT_STACK, 2**23, 2**23),
        (resource.RLIMIT_MEMLOCK, 0, 0),
        (resource.RLIMIT_MSGQUEUE, 0, 0),
        (resource.RLIMIT_SIGPENDING, 64, 64),
    )
    for name, soft, hard in limits:
        most = resource.getrlimit(name)[1]
        if most != resource.RLIM_INFINITY:  # it can't be raised
            soft, hard = min(soft, most), min(hard, most)
        resource.setrlimit(name, (soft, hard))
    source = sys.stdin.buffer.read()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    # the program may replace what it finds in modules, but not these
    closed = contextlib.suppress(ValueError, OSError)  # by the program itself: its output
    out, read, write, leave, explain = sys.stdout, os.read, os.write, os._exit, traceback.print_exc
    program = sys.modules["program"] = types.ModuleType("program")  # dataclasses and pickle look for it there
    try:
        exec(compile(source, "program", "exec"), program.__dict__)
        with closed:
            out.flush()
        write(1, read(proof, 64))
    except MemoryError:
        leave(MEMORY)
    except BaseException:  # SystemExit too: a program that leaves before its tests have run has not passed them
        explain()
        leave(1)
    leave(0)


if __name__ == "__main__":
    main()
