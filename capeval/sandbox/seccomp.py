"""System calls that programs in the sandbox may not make, as a filter for the kernel (seccomp BPF).

Namespaces and rlimits leave gaps that this closes: more processes or threads (RLIMIT_NPROC does not bind root),
memory that no process owns (System V segments, memfd, shared mappings that are cut after they were filled, extended
attributes, message queues), user namespaces inside the sandbox, with which one could mount disks of any size,
sockets of families that know no network namespace (AF_VSOCK), descriptors of the sandbox's first process
(pidfd_getfd), the kernel's log, and `sync`, which makes the whole machine wait.
"""

from __future__ import annotations

import errno
import platform
import struct

_LOAD, _EQUALS, _AT_LEAST, _HAS_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000
_X32 = 0x40000000
"""Numbers from here on are x86-64's second table of system calls, where the same ones have other numbers."""
_FLAGS = 16 + 3 * 8
"""Offset of a call's fourth argument in `struct seccomp_data`; its low half comes first (both machines do so)."""
_MAP_SHARED = 0x01
_MMAP = {"x86_64": 9, "aarch64": 222}

# asm/unistd_64.h and asm-generic/unistd.h; from 424 on all architectures share their numbers
_SHARED = {
    "io_uring_setup": 425, "open_tree": 428, "move_mount": 429, "fsopen": 430, "pidfd_open": 434, "clone3": 435,
    "pidfd_getfd": 438, "mount_setattr": 442, "memfd_secret": 447, "setxattrat": 463,
}  # fmt: skip
_NUMBERS: dict[str, tuple[int, dict[str, int]]] = {
    "x86_64": (0xC000003E, {
        "shmget": 29, "socket": 41, "clone": 56, "fork": 57, "vfork": 58, "semget": 64, "msgget": 68, "ptrace": 101,
        "syslog": 103, "pivot_root": 155, "chroot": 161, "sync": 162, "mount": 165, "umount2": 166, "setxattr": 188,
        "lsetxattr": 189, "fsetxattr": 190, "mq_open": 240, "add_key": 248, "request_key": 249, "keyctl": 250,
        "inotify_init": 253, "unshare": 272, "vmsplice": 278, "inotify_init1": 294, "perf_event_open": 298,
        "fanotify_init": 300, "open_by_handle_at": 304, "syncfs": 306, "setns": 308, "process_vm_readv": 310,
        "process_vm_writev": 311, "memfd_create": 319, "bpf": 321, "userfaultfd": 323,
    }),
    "aarch64": (0xC00000B7, {
        "setxattr": 5, "lsetxattr": 6, "fsetxattr": 7, "inotify_init1": 26, "umount2": 39, "mount": 40,
        "pivot_root": 41, "chroot": 51, "vmsplice": 75, "sync": 81, "unshare": 97, "syslog": 116, "ptrace": 117,
        "mq_open": 180, "msgget": 186, "semget": 190, "shmget": 194, "socket": 198, "add_key": 217,
        "request_key": 218, "keyctl": 219, "clone": 220, "perf_event_open": 241, "fanotify_init": 262,
        "open_by_handle_at": 265, "syncfs": 267, "setns": 268, "process_vm_readv": 270,
        "process_vm_writev": 271, "memfd_create": 279, "bpf": 280, "userfaultfd": 282,
    }),
}  # fmt: skip


def has_filter(machine: str | None = None) -> bool:
    """Whether the numbers of this machine's system calls are known here."""
    return (machine or platform.machine()) in _NUMBERS


def seccomp_filter(machine: str | None = None) -> bytes:
    """The filter as an array of `struct sock_filter`: calls on the list fail with EPERM, foreign tables kill.

    `mmap` fails when it asks for a shared mapping: that memory is counted in no address space once it is unmapped in
    part. Nothing needs one where there is a single process.

    Args:
        machine: As `platform.machine()` names it; None: this one.
    """
    machine = machine or platform.machine()
    architecture, own = _NUMBERS[machine]
    refused = sorted({**own, **_SHARED}.values())
    lines = [(_LOAD, 0, 0, 4), (_EQUALS, 1, 0, architecture), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    lines += [(_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _KILL)]
    for position, number in enumerate(refused):
        lines.append((_EQUALS, len(refused) - position + 3, 0, number))
    lines += [(_EQUALS, 0, 2, _MMAP[machine]), (_LOAD, 0, 0, _FLAGS), (_HAS_BITS, 1, 0, _MAP_SHARED)]
    lines += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE)]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)
