"""The compiled C core, as cffi shows it: to _wire, _port, _timer, _readiness and no other.

C data is Any: its members are those of the structs in _core.cdef.h, which mypy cannot read. A
function of the C core takes and gives integers and such data; tests/package holds each against the
declaration that was compiled.
"""

from typing import Any, TypeAlias, type_check_only

_CData: TypeAlias = Any
_Chars: TypeAlias = Any  # bytes, or char *

@type_check_only
class _Lib:
    CLOCK_MONOTONIC: int
    TFD_CLOEXEC: int
    TFD_NONBLOCK: int
    EPOLLIN: int
    EPOLL_CLOEXEC: int
    EPOLL_CTL_ADD: int
    EPOLL_CTL_DEL: int

    PFS_LINK_OPERSTATE: int
    PFS_LINK_NUM_VF: int
    PFS_LINK_VFS: int
    PFS_LINK_SLAVE_STATE: int
    PFS_LINK_AGGREGATOR_ID: int
    PFS_LINK_ACTOR_STATE: int
    PFS_LINK_PARTNER_STATE: int
    PFS_BOND_MODE: int
    PFS_BOND_MIIMON: int
    PFS_BOND_MIN_LINKS: int
    PFS_BOND_AD_LACP_RATE: int
    PFS_BOND_AD_INFO: int
    PFS_OPEN_NO_EVENTS: int
    PFS_OPEN_NO_FILTER: int
    PFS_OPEN_NETNS: int
    PFS_WATCH_MAX: int
    PFS_LACP_ABSENT: int
    PFS_UP: int
    PFS_DOWN: int
    PFS_UNKNOWN: int
    PFS_SCOPE_VF: int
    PFS_SCOPE_PF: int
    PFS_TAP_REQUEST: int
    PFS_TAP_ANSWER: int
    PFS_TAP_EVENT: int
    PFS_LACPDU_BYTES: int
    PFS_PORT_PER_SECOND: int
    PFS_PORT_RECEIVED: int
    PFS_PORT_SENT: int
    PFS_PORT_ASK: int
    PFS_PORT_COPY: int
    PFS_PORT_REPEAT: int

    _tap: _CData  # the function pointer behind ffi.def_extern(name="_tap")

    def pfs_lacp_status(self, link: _CData, bond: _CData, /) -> int: ...
    def pfs_lacp_verdict(self, lacp: int, /) -> int: ...
    def pfs_lacp_name(self, lacp: int, /) -> _CData: ...
    def pfs_lacp_sentence(self, lacp: int, /) -> _CData: ...
    def pfs_open(self, pfs: _CData, options: _CData, /) -> int: ...
    def pfs_open_fds(
        self, pfs: _CData, request_fd: int, event_fd: int, options: _CData, /
    ) -> int: ...
    def pfs_close(self, pfs: _CData, /) -> None: ...
    def pfs_extack(self, pfs: _CData, /) -> _CData: ...
    def pfs_link_get(
        self,
        pfs: _CData,
        ifindex: int,
        name: _Chars,
        link: _CData,
        vfs: _CData,
        capacity: int,
        /,
    ) -> int: ...
    def pfs_pf_get(
        self,
        pfs: _CData,
        ifindex: int,
        name: _Chars,
        link: _CData,
        bond: _CData,
        vfs: _CData,
        capacity: int,
        /,
    ) -> int: ...
    def pfs_bond_get(self, pfs: _CData, ifindex: int, bond: _CData, /) -> int: ...
    def pfs_link_dump(self, pfs: _CData, links: _CData, capacity: int, /) -> int: ...
    def pfs_vf_choose(
        self, vfs: _CData, n: int, was: int, to: int, chosen: _CData, capacity: int, /
    ) -> int: ...
    def pfs_vf_set(
        self, pfs: _CData, ifindex: int, vfs: _CData, n: int, chunk: int, results: _CData, /
    ) -> int: ...
    def pfs_vf_set_permitted(self, pfs: _CData, /) -> int: ...
    def pfs_fd(self, pfs: _CData, /) -> int: ...
    def pfs_watch(
        self, pfs: _CData, ifindexes: _CData, n_index: int, names: _CData, n_name: int, /
    ) -> int: ...
    def pfs_event_next(self, pfs: _CData, link: _CData, /) -> int: ...
    def pfs_tap(self, pfs: _CData, tap: _CData, arg: _CData, /) -> None: ...
    def pfs_link_decode(
        self, buf: _CData, length: int, link: _CData, bond: _CData, vfs: _CData, capacity: int, /
    ) -> int: ...
    def pfs_vf_set_encode(
        self, buf: _CData, capacity: int, ifindex: int, seq: int, vfs: _CData, n: int, /
    ) -> int: ...
    def pfs_lacpdu_decode(self, buf: _CData, length: int, pdu: _CData, /) -> int: ...
    def pfs_lacpdu_encode(self, buf: _CData, capacity: int, pdu: _CData, /) -> int: ...
    def pfs_port_open(self, port: _CData, ifindex: int, netns_fd: int, /) -> int: ...
    def pfs_port_open_fd(self, port: _CData, fd: int, /) -> int: ...
    def pfs_port_close(self, port: _CData, /) -> None: ...
    def pfs_port_fd(self, port: _CData, /) -> int: ...
    def pfs_port_next(self, port: _CData, pdu: _CData, time_ns: _CData, /) -> int: ...
    def pfs_port_send(self, port: _CData, what: int, time_ns: _CData, /) -> int: ...
    def pfs_port_free_ns(self, port: _CData, /) -> int: ...
    def pfs_port_forget(self, port: _CData, /) -> None: ...
    def timerfd_create(self, clockid: int, flags: int, /) -> int: ...
    def timerfd_settime(
        self, fd: int, flags: int, new_value: _CData, old_value: _CData, /
    ) -> int: ...
    def epoll_create1(self, flags: int, /) -> int: ...
    def epoll_ctl(self, epfd: int, op: int, fd: int, event: _CData, /) -> int: ...

@type_check_only
class _FFI:
    NULL: _CData
    errno: int

    def new(self, cdecl: str, init: object = ...) -> _CData: ...
    def sizeof(self, cdecl: str | _CData, /) -> int: ...
    def string(self, cdata: _CData, maxlen: int = -1) -> Any: ...  # bytes for char *
    def buffer(self, cdata: _CData, size: int = -1, /) -> Any: ...  # bytes-like, cut by slices
    def from_buffer(self, cdecl: str, python_buffer: Any, /) -> _CData: ...
    def unpack(self, cdata: _CData, length: int) -> list[Any]: ...
    def memmove(self, dest: _CData, src: Any, n: int) -> None: ...
    def new_handle(self, obj: object, /) -> _CData: ...
    def from_handle(self, cdata: _CData, /) -> Any: ...
    def def_extern(self, name: str = ...) -> Any: ...

ffi: _FFI
lib: _Lib
