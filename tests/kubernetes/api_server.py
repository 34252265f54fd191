"""A small API server, for what a real one would not do when asked to: fail at a chosen moment."""

from __future__ import annotations

import copy
import json
import queue
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from urllib.parse import parse_qs, urlsplit

CUT = "cut"
"""A fault: the connection ends without an answer."""
CUT_AFTER = "cut after"
"""A fault: what was asked is done, and the answer never comes."""


def merged(old, new):
    """What applying gives, as far as nothing has to be removed."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{name: merged(old.get(name), value) for name, value in new.items()}}
    return copy.deepcopy(new)


def below(where, collection):
    """Whether an object is of a collection: that of a namespace, or of all."""
    if "/namespaces/" in collection:
        return where.startswith(collection + "/")
    group, _, plural = collection.rpartition("/")
    return where.startswith(f"{group}/namespaces/") and f"/{plural}/" in where


class ApiServer(ThreadingHTTPServer):
    """Keeps objects by path, tells watches, and does what ``fault`` says before anything else."""

    daemon_threads = True
    block_on_close = False

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, dict] = {}
        self.versions = count(1)
        self.version = 0
        self.watches: list[tuple[str, queue.Queue]] = []
        self.lock = threading.RLock()
        self.seen: list[tuple[str, str]] = []
        self.fault = lambda _method, _path: None
        """Returns a status code, (code, headers), CUT, CUT_AFTER or None; may wait."""
        self.token: str | None = None
        """The token that is valid, None for any."""
        self.event_answer: list[bytes] = []
        """Lines that the next watches say at once, before they end."""
        self.changed = threading.Condition(self.lock)
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, _request, _client_address):
        """A connection that ends early is what these tests are about."""

    def close(self):
        self.cut_watches()
        self.shutdown()
        self.server_close()
        self.thread.join(5)

    def cut_watches(self):
        with self.lock:
            for _, told in self.watches:
                told.put(None)

    def put(self, path, found, *, quiet=False):
        """Store an object, as the API server would on behalf of somebody else."""
        with self.lock:
            self.version = next(self.versions)
            kind = "MODIFIED" if path in self.objects else "ADDED"
            found = copy.deepcopy(found)
            found.setdefault("metadata", {})["resourceVersion"] = str(self.version)
            found["metadata"].setdefault("uid", f"uid-{self.version}")
            self.objects[path] = found
            if not quiet:
                self._tell(kind, path, found)
            self.changed.notify_all()
            return found

    def remove(self, path):
        with self.lock:
            found = self.objects.pop(path, None)
            if found is not None:
                self.version = next(self.versions)
                self._tell("DELETED", path, found)
                self.changed.notify_all()
            return found

    def _tell(self, kind, path, found):
        for prefix, told in self.watches:
            if below(path, prefix):
                told.put({"type": kind, "object": found})

    def wait_for(self, what, timeout=20):
        """Wait until something is true of what is stored."""
        with self.changed:
            if not self.changed.wait_for(what, timeout):
                raise AssertionError(f"after {timeout} s there are: {sorted(self.objects)}")

    def count(self):
        return Counter(self.seen)


class _Handler(BaseHTTPRequestHandler):
    server: ApiServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def _answer(self, code, body, headers=()):
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _refuse(self, code, message, headers=()):
        status = {"kind": "Status", "status": "Failure", "message": message, "code": code}
        self._answer(code, status, headers)

    def _any(self):
        server = self.server
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with server.lock:
            server.seen.append((self.command, url.path.rsplit("/", 1)[-1]))
        fault = server.fault(self.command, url.path)
        if fault == CUT:
            self.close_connection = True
            return
        if server.token is not None and self.headers.get("Authorization") != (
            f"Bearer {server.token}"
        ):
            self._refuse(401, "Unauthorized")
            return
        if fault is not None and fault != CUT_AFTER:
            code, headers = fault if isinstance(fault, tuple) else (fault, ())
            self._refuse(code, "on purpose", headers)
            return
        if query.get("watch") == "true":
            self._watch(url.path)
            return
        code, found = self._do(url.path, query, json.loads(body) if body else None)
        if fault == CUT_AFTER:
            self.close_connection = True
        elif code >= 400:
            self._refuse(code, found)
        else:
            self._answer(code, found)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any  # noqa: N815

    def _do(self, path, query, body):
        server = self.server
        with server.lock:
            if self.command == "GET" and path in server.objects:
                return 200, server.objects[path]
            if self.command == "GET" and path.endswith("s"):
                items = [
                    copy.deepcopy(found)
                    for where, found in sorted(server.objects.items())
                    if below(where, path)
                ]
                items = items[: int(query["limit"])] if "limit" in query else items
                if "pfstatusrelay" not in path:  # of a built-in kind they do not say what they are
                    items = [
                        {name: found[name] for name in found if name not in {"apiVersion", "kind"}}
                        for found in items
                    ]
                metadata = {"resourceVersion": str(server.version)}
                return 200, {"metadata": metadata, "items": items}
            if self.command == "POST":
                name = body["metadata"].get("name")
                name = name or f"{body['metadata']['generateName']}{next(server.versions)}"
                if f"{path}/{name}" in server.objects:
                    return 409, "it exists"
                return 201, server.put(f"{path}/{name}", body)
            if self.command == "PATCH":
                return self._patch(path, body)
            if path not in server.objects:
                return 404, "not found"
            if self.command == "PUT":
                version = server.objects[path]["metadata"]["resourceVersion"]
                if body["metadata"].get("resourceVersion") not in {None, version}:
                    return 409, "it has changed"
                return 200, server.put(path, body)
            if self.command == "DELETE":
                return 200, server.remove(path)
            return 404, "not found"

    def _patch(self, path, body):
        server = self.server
        status = path.endswith("/status")
        path = path.removesuffix("/status")
        before = server.objects.get(path)
        if before is None and status:
            return 404, "not found"
        if isinstance(body, list):
            return 200, before
        if before is not None and merged(before, body) == before:
            return 200, before
        return 200, server.put(path, merged(before or {}, body))

    def _watch(self, path):
        told: queue.Queue = queue.Queue()
        server = self.server
        with server.lock:
            server.watches.append((path, told))
            server.changed.notify_all()
            lines, server.event_answer = server.event_answer, []
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for line in lines:
                self._chunk(line)
            while not lines and (event := told.get()) is not None:
                self._chunk(json.dumps(event).encode() + b"\n")
        finally:
            with server.lock:
                server.watches.remove((path, told))
            # Without the last chunk: the connection was cut.
            self.close_connection = True

    def _chunk(self, data):
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()
