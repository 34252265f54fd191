"""Runs a command under a seccomp filter as container runtimes set it: seccomp.py COMMAND...

A runtime's RuntimeDefault allows by name; this denies by name, with EPERM as they do: what Docker's
documentation names as denied to a container without further capabilities, io_uring, and vsock
sockets. By libseccomp, which apt needs on each Debian.
"""

import ctypes
import errno
import os
import sys

DENIED = """
_sysctl acct add_key bpf clock_adjtime clock_settime create_module delete_module fanotify_init
finit_module fsconfig fsmount fsopen fspick get_kernel_syms get_mempolicy init_module
io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load
keyctl lookup_dcookie mbind mount mount_setattr move_mount move_pages nfsservctl
open_by_handle_at open_tree perf_event_open pivot_root process_vm_readv process_vm_writev ptrace
query_module quotactl quotactl_fd reboot request_key set_mempolicy setdomainname sethostname
setns settimeofday swapoff swapon syslog sysfs umount2 unshare uselib userfaultfd ustat vhangup
"""
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_EQUAL = 4  # SCMP_CMP_EQ
_NEW_NAMESPACES = 0x7E020000  # CLONE_NEW*: clone() without them is fork()
_MASKED_EQUAL = 7  # SCMP_CMP_MASKED_EQ
_AF_VSOCK = 40


class _Argument(ctypes.Structure):
    """struct scmp_arg_cmp."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


def _checked(result: int, *_: object) -> int:
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return result


def confine() -> None:
    """Puts this process, and what it becomes, under the filter.

    Raises:
        OSError: libseccomp is not there, or the kernel refuses.
    """
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    for name in ("seccomp_load", "seccomp_rule_add_array"):
        getattr(library, name).errcheck = _checked
    context = ctypes.c_void_p(library.seccomp_init(_ALLOW))
    deny = _ERRNO | errno.EPERM

    def rule(name: str, *arguments: _Argument) -> None:
        number = library.seccomp_syscall_resolve_name(name.encode())
        assert number != -1, f"libseccomp knows no {name}"
        if number < -1:
            return  # not on this architecture
        given = (_Argument * len(arguments))(*arguments)
        library.seccomp_rule_add_array(
            context, ctypes.c_uint32(deny), number, len(arguments), given
        )

    for name in DENIED.split():
        rule(name)
    rule("socket", _Argument(0, _EQUAL, _AF_VSOCK))
    for bit in range(64):
        if _NEW_NAMESPACES >> bit & 1:
            rule("clone", _Argument(0, _MASKED_EQUAL, 1 << bit, 1 << bit))
    library.seccomp_load(context)


if __name__ == "__main__":
    confine()
    os.execvp(sys.argv[1], sys.argv[1:])
