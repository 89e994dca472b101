"""System calls that programs in the sandbox may not make, as a filter for the kernel (seccomp BPF).

Namespaces and rlimits leave gaps that this closes: more processes or threads (RLIMIT_NPROC does not bind root),
memory that no process owns (System V segments, memfd), user namespaces inside the sandbox, with which one could mount
disks of any size, and sockets of families that know no network namespace (AF_VSOCK).
"""

from __future__ import annotations

import errno
import platform
import struct

_LOAD, _EQUALS, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000
_X32 = 0x40000000
"""Numbers from here on are x86-64's second table of system calls, where the same ones have other numbers."""

# asm/unistd_64.h and asm-generic/unistd.h; from 424 on all architectures share their numbers
_SHARED = {
    "io_uring_setup": 425, "open_tree": 428, "move_mount": 429, "fsopen": 430, "clone3": 435, "mount_setattr": 442,
    "memfd_secret": 447,
}  # fmt: skip
_NUMBERS: dict[str, tuple[int, dict[str, int]]] = {
    "x86_64": (0xC000003E, {
        "shmget": 29, "socket": 41, "clone": 56, "fork": 57, "vfork": 58, "semget": 64, "msgget": 68, "ptrace": 101,
        "pivot_root": 155, "chroot": 161, "mount": 165, "umount2": 166, "add_key": 248, "request_key": 249,
        "keyctl": 250, "unshare": 272, "perf_event_open": 298, "open_by_handle_at": 304, "setns": 308,
        "process_vm_readv": 310, "process_vm_writev": 311, "memfd_create": 319, "bpf": 321, "userfaultfd": 323,
    }),
    "aarch64": (0xC00000B7, {
        "umount2": 39, "mount": 40, "pivot_root": 41, "chroot": 51, "unshare": 97, "ptrace": 117, "msgget": 186,
        "semget": 190, "shmget": 194, "socket": 198, "add_key": 217, "request_key": 218, "keyctl": 219, "clone": 220,
        "perf_event_open": 241, "open_by_handle_at": 265, "setns": 268, "process_vm_readv": 270,
        "process_vm_writev": 271, "memfd_create": 279, "bpf": 280, "userfaultfd": 282,
    }),
}  # fmt: skip


def has_filter(machine: str | None = None) -> bool:
    """Whether the numbers of this machine's system calls are known here."""
    return (machine or platform.machine()) in _NUMBERS


def seccomp_filter(machine: str | None = None) -> bytes:
    """The filter as an array of `struct sock_filter`: calls on the list fail with EPERM, foreign tables kill.

    Args:
        machine: As `platform.machine()` names it; None: this one.
    """
    architecture, own = _NUMBERS[machine or platform.machine()]
    refused = sorted({**own, **_SHARED}.values())
    lines = [(_LOAD, 0, 0, 4), (_EQUALS, 1, 0, architecture), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    lines += [(_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _KILL)]
    for position, number in enumerate(refused):
        lines.append((_EQUALS, len(refused) - position, 0, number))
    lines += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE)]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)
