"""Metrics and health over HTTP: ``/metrics``, ``/healthz``, ``/readyz``."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import sys
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any

from pfstatus.agent.config import address_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_TEXT = "text/plain; version=0.0.4; charset=utf-8"
_PATIENCE = 10.0
"""Seconds that a client may take for its request."""
CLIENTS = 16
"""Most that are answered at once, each by a thread; more are sent away. The relay needs descriptors
and memory too, and whoever can connect could take all that there are."""
_AGAIN = 0.5
"""Seconds between two looks whether an address has become free, or the end has come."""


@contextmanager
def serve_http(
    address: str,
    metrics: Callable[[], bytes],
    lives: Callable[[], bool],
    ready: Callable[[], bool],
    *,
    wait: bool = False,
    tls: tuple[Path, Path, Path] | None = None,
) -> Iterator[int]:
    """Answer in threads of their own, until the end of the context.

    Args:
        address: "ADDRESS:PORT". There is no password.
        metrics: the text of /metrics.
        lives: whether /healthz is 200; else 503.
        ready: the same for /readyz.
        tls: certificate, key and CA: speak TLS, and give metrics to those alone who show a
            certificate of that CA. Health is for everybody: a kubelet shows none. Files that change
            are read again.
        wait: whether an address that is in use is waited for, as the next of two agents does in an
            update, or is an error.

    Yields:
        The port.

    Raises:
        OSError: the address cannot be had.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = _PATIENCE

        def do_GET(self) -> None:
            if self.path == "/metrics" and tls and not self.connection.getpeercert():
                self._answer(403, b"show a certificate\n", "text/plain")
            elif self.path == "/metrics":
                self._answer(200, metrics(), _TEXT)
            elif self.path in ("/healthz", "/readyz"):
                good = lives() and (self.path == "/healthz" or ready())
                self._answer(200 if good else 503, b"ok\n" if good else b"no\n", "text/plain")
            else:
                self._answer(404, b"/metrics, /healthz, /readyz\n", "text/plain")

        def _answer(self, code: int, body: bytes, kind: str) -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            """Standard error is for what is wrong."""

    secured = tls and _Tls(*tls)
    ended = threading.Event()
    clients = threading.BoundedSemaphore(CLIENTS)

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def server_bind(self) -> None:
            TCPServer.server_bind(self)  # HTTPServer's asks DNS, which an outage may have taken

        def get_request(self) -> tuple[socket.socket, Any]:
            try:
                client, address = super().get_request()
            except OSError:  # no descriptor is left: the client stays, and select() tells of it
                ended.wait(_AGAIN)
                raise
            if not secured:
                return client, address
            try:
                return secured.wrap(client), address
            except OSError:  # it is gone
                client.close()
                raise

        def process_request(self, request: Any, client_address: Any) -> None:
            if not clients.acquire(blocking=False):
                self.shutdown_request(request)
                return
            try:
                super().process_request(request, client_address)
            except RuntimeError:  # no thread is to be had
                clients.release()
                raise

        def process_request_thread(self, request: Any, client_address: Any) -> None:
            try:
                super().process_request_thread(request, client_address)
            finally:
                clients.release()

        def handle_error(self, *_args: object) -> None:
            """A client that goes is no error."""

    host, port = address_of(address)
    Server.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with Server((host, port), Handler, bind_and_activate=False) as server:
        server.timeout = _AGAIN
        try:
            bound = _bind(server)
        except OSError as exc:
            msg = f"metrics cannot be told at {address}: {exc.strerror}"
            raise OSError(exc.errno, msg) from None
        if not bound:
            if not wait:
                raise OSError(errno.EADDRINUSE, f"{address} is in use: end what has it")
            print(f"pfstatus: {address} is in use: waiting for it", file=sys.stderr)
        answering = threading.Thread(
            target=_answer, args=(server, ended, bound), name="http", daemon=True
        )
        answering.start()
        try:
            yield int(server.server_address[1])
        finally:
            ended.set()
            answering.join()


class _Tls:
    """Speaks TLS with clients: who shows a certificate shows a good one.

    Args:
        cert: a file, as ``key`` and ``ca`` are.

    Raises:
        OSError: a file cannot be read, or is none.
    """

    def __init__(self, cert: Path, key: Path, ca: Path) -> None:
        self._files = cert, key, ca
        self._read = self._state()
        self._context = self._load()

    def _state(self) -> list[tuple[int, int]]:
        return [(stat.st_ino, stat.st_mtime_ns) for stat in map(os.stat, self._files)]

    def _load(self) -> ssl.SSLContext:
        cert, key, ca = self._files
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca)
        context.load_cert_chain(cert, key)
        context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def wrap(self, client: socket.socket) -> ssl.SSLSocket:
        """Speak it. Certificates are renewed while we run: what cannot be read yet is left."""
        with suppress(OSError):
            state = self._state()
            if state != self._read:
                self._context = self._load()
                self._read = state
        return self._context.wrap_socket(
            client,
            server_side=True,
            do_handshake_on_connect=False,  # in the client's own thread, and in time
        )


def _bind(server: ThreadingHTTPServer) -> bool:
    """Whether it has its address now, which is somebody else's otherwise."""
    try:
        server.server_bind()
        server.server_activate()
    except OSError as exc:
        if exc.errno != errno.EADDRINUSE:
            raise
        return False
    return True


def _answer(server: ThreadingHTTPServer, ended: threading.Event, bound: bool) -> None:
    while not ended.is_set():
        if bound:
            server.handle_request()
        else:
            bound = not ended.wait(_AGAIN) and _bind(server)
