"""What can go wrong, as one tree.

.. code-block:: text

    OSError
     └── Error                    anything the kernel or its answer said
          ├── LinkNotFoundError   ENODEV: no interface of this name or index
          ├── NotPermittedError   EPERM: also a PermissionError
          ├── EventsLostError     ENOBUFS: ask for everything again
          ├── MalformedError      EBADMSG: an answer that cannot be right
          └── NoAnswerError       ETIMEDOUT: also a TimeoutError

``wait_for()`` raises LacpTimeoutError, a TimeoutError: the kernel did answer, but LACP is not as
was waited for. ``ValueError`` and ``TypeError`` are raised for bad arguments, before any I/O.
"""

from __future__ import annotations

import errno as _errno
import os


class Error(OSError):
    """A request failed.

    ``errno`` and ``strerror`` are the kernel's; ``filename`` holds the interface, so that
    ``str()`` shows it.
    """

    extack: str
    """What the kernel added in words (NETLINK_EXT_ACK); empty where it added nothing."""

    def __init__(
        self, errno: int, interface: str | None = None, extack: str = "", cause: str = ""
    ) -> None:
        cause = cause or _CURES.get(errno) or os.strerror(errno)
        super().__init__(errno, f"{cause} ({extack})" if extack else cause, interface)
        self.extack = extack
        self._cause = cause

    def __reduce__(self) -> tuple[type[Error], tuple[int | None, str | None, str, str]]:
        return type(self), (self.errno, self.filename, self.extack, self._cause)


class LinkNotFoundError(Error):
    """There is no interface of this name or index in the network namespace."""


class NotPermittedError(Error, PermissionError):
    """The kernel refused: setting VFs needs CAP_NET_ADMIN, another namespace CAP_SYS_ADMIN."""


class EventsLostError(Error):
    """The kernel had more events than the socket had room for; some are gone."""


class MalformedError(Error):
    """A message of the kernel contradicts itself."""


class NoAnswerError(Error, TimeoutError):
    """The kernel did not answer in time."""


_CURES = {
    _errno.EPERM: "Operation not permitted: setting VFs needs CAP_NET_ADMIN, "
    "entering a network namespace CAP_SYS_ADMIN",
    _errno.ENOBUFS: "Events were lost",
    _errno.EBADMSG: "Malformed message",
    _errno.EMSGSIZE: "The kernel could not fit its answer into one message",
    _errno.ETIMEDOUT: "The kernel did not answer in time",
    _errno.ECANCELED: "Not tried: an earlier failure made it pointless",
}

_CLASSES: dict[int, type[Error]] = {
    _errno.ENODEV: LinkNotFoundError,
    _errno.EPERM: NotPermittedError,
    _errno.ENOBUFS: EventsLostError,
    _errno.EBADMSG: MalformedError,
    _errno.ETIMEDOUT: NoAnswerError,
}


def error(errno: int, interface: str | None = None, extack: str = "", *, cause: str = "") -> Error:
    """The exception for an errno, of the class that fits it.

    Args:
        errno: positive.
        interface: whom it concerns.
        extack: the kernel's words.
        cause: ours, where the errno means something else here than elsewhere.
    """
    return _CLASSES.get(errno, Error)(errno, interface, extack, cause)


def driver_error(errno: int, interface: str | None = None, extack: str = "") -> Error:
    """What a driver answered for one VF: the errno is in the driver's meaning, not in ours.

    Its EPERM is no missing capability of this process, its ETIMEDOUT no silence of the kernel: a
    plain Error, whatever the errno.
    """
    cause = os.strerror(errno)
    if errno in _CLASSES or errno in _CURES:
        cause += ": the driver's answer for this VF"
    return Error(errno, interface, extack, cause)
