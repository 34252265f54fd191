"""Health and metrics of the operator, over HTTP."""

from __future__ import annotations

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TLS_VERSIONS = {
    "VersionTLS12": ssl.TLSVersion.TLSv1_2,
    "VersionTLS13": ssl.TLSVersion.TLSv1_3,
}


class Metrics:
    """What the operator counts. Nothing has a label for each resource, node or PF."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.turns = Counter(
            "pfstatus_operator_turns",
            "Looks at the cluster, by result.",
            ["result"],
            registry=self.registry,
        )
        self.requests = Counter(
            "pfstatus_operator_api_requests",
            "Requests to the API server, by method and status code; 0 where no answer came.",
            ["method", "code"],
            registry=self.registry,
        )
        self.leading = Gauge(
            "pfstatus_operator_leading",
            "1 while this operator holds the Lease.",
            registry=self.registry,
        )
        self.since_turn = Gauge(
            "pfstatus_operator_last_turn_age_seconds",
            "Seconds since the last look at the cluster that failed at nothing.",
            registry=self.registry,
        )

    def request(self, method: str, _path: str, code: int) -> None:
        """Count a request."""
        self.requests.labels(method, str(code)).inc()

    def turn(self, result: str) -> None:
        """Count a turn."""
        self.turns.labels(result).inc()


Page = tuple[int, str, bytes]
"""Status code, content type, body."""


def health(healthy: Callable[[], bool], ready: Callable[[], bool]) -> dict[str, Callable[[], Page]]:
    """Return the pages that a kubelet asks for."""

    def page(good: Callable[[], bool]) -> Callable[[], Page]:
        return lambda: (200, "text/plain", b"ok\n") if good() else (503, "text/plain", b"no\n")

    return {"/healthz": page(healthy), "/readyz": page(ready)}


def metrics(found: Metrics) -> dict[str, Callable[[], Page]]:
    """Return the page that Prometheus asks for."""
    return {"/metrics": lambda: (200, CONTENT_TYPE_LATEST, generate_latest(found.registry))}


def tls(
    folder: Path, *, least: str = "VersionTLS12", ciphers: str = "", client_ca: Path | None = None
) -> ssl.SSLContext:
    """Make a context from ``tls.crt`` and ``tls.key``.

    Args:
        folder: where the two are; a Secret's mount.
        least: a version as Kubernetes names it.
        ciphers: of TLS 1.2, as OpenSSL names them, with commas; the library's own if empty.
        client_ca: only clients with a certificate of this authority are answered.

    Raises:
        OSError: a file is missing, or is not what it is to be.
        ValueError: an unknown version or cipher.
    """
    if least not in TLS_VERSIONS:
        raise ValueError(f"{least} is none of {', '.join(TLS_VERSIONS)}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = TLS_VERSIONS[least]
    if ciphers:
        try:
            context.set_ciphers(ciphers.replace(",", ":"))
        except ssl.SSLError as error:
            raise ValueError(f"OpenSSL knows none of {ciphers}") from error
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    pages: dict[str, Callable[[], Page]]
    context: ssl.SSLContext | None = None

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer's asks DNS

    def finish_request(self, request, client_address) -> None:  # type: ignore[no-untyped-def]
        """Speak TLS in the connection's own thread: a silent client keeps nobody else waiting."""
        request.settimeout(10)
        if self.context is None:
            super().finish_request(request, client_address)
            return
        with self.context.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)

    def handle_error(self, _request, _client_address) -> None:  # type: ignore[no-untyped-def]
        """A client that goes away is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "pfstatus"
    sys_version = ""

    def do_GET(self) -> None:
        page = self.server.pages.get(self.path.partition("?")[0])
        code, kind, body = (404, "text/plain", b"no such page\n") if page is None else page()
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing: a kubelet asks every ten seconds."""


class Listener:
    """A server in a thread of its own, until closed."""

    def __init__(
        self,
        address: str,
        pages: dict[str, Callable[[], Page]],
        context: ssl.SSLContext | None = None,
    ) -> None:
        """Listen on ``host:port``; an empty host is every address, port 0 is any.

        Raises:
            OSError: the address is taken, or not ours.
            ValueError: it is none.
        """
        host, _, port = address.rpartition(":")
        if not port.isdecimal():
            raise ValueError(f"{address}: an address is HOST:PORT or :PORT")
        self._server = _Server((host.strip("[]"), int(port)), _Handler)
        self._server.pages = pages
        self._server.context = context
        self._thread = threading.Thread(
            target=self._server.serve_forever, name=f"serve {address}", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
