"""A web server on this machine that serves one folder and misbehaves as it is told."""

import hashlib
import http.server
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_RESET_ON_CLOSE = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class FaultyServer(http.server.ThreadingHTTPServer):
    """Serves `folder` with ranges and ETags; `faults` are used up, one a request, before it behaves."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.faults: list[Callable[[_Handler, bytes], None]] = []
        self.requests: Counter[str] = Counter()
        self.ranges: list[str] = []
        self.has_ranges = True
        self.has_versions = True
        self.lock = threading.Lock()

    def next_fault(self) -> Callable[["_Handler", bytes], None] | None:
        with self.lock:
            return self.faults.pop(0) if self.faults else None

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that gives up on a stalled connection is no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyServer

    def do_GET(self) -> None:
        name = self.path.split("?")[0].lstrip("/")
        with self.server.lock:
            self.server.requests[name] += 1
            self.server.ranges.append(self.headers.get("Range", ""))
        path = self.server.folder / name
        if not path.is_file():
            self.send_error(404)
            return
        fault = self.server.next_fault()
        if fault is not None:
            fault(self, path.read_bytes())
            return
        self.send_file(path.read_bytes())

    def send_file(self, content: bytes, *, share: float = 1.0) -> None:
        """The whole or the asked part; with a smaller `share` only so much of it, and then the connection ends."""
        version = f'"{hashlib.sha256(content).hexdigest()[:8]}"'
        start = 0
        if self.server.has_ranges and self.headers.get("If-Range", version) == version:
            start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        if start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if self.server.has_versions:
            self.send_header("ETag", version)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start : start + int(share * (len(content) - start))])
        if share < 1:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Quiet."""


def truncate(handler: _Handler, content: bytes) -> None:
    """Half of what was asked for, and a proper end of the connection."""
    handler.send_file(content, share=0.5)


def drop(handler: _Handler, content: bytes) -> None:
    """Half of what was asked for, and a reset."""
    handler.send_file(content, share=0.5)
    handler.wfile.flush()
    handler.connection.setsockopt(*_RESET_ON_CLOSE)
    handler.connection.close()


def stall(handler: _Handler, content: bytes) -> None:
    """Half of what was asked for, and silence until the client goes."""
    handler.send_file(content, share=0.5)
    handler.wfile.flush()
    handler.connection.recv(1)


def hang_up(handler: _Handler, content: bytes) -> None:
    """No answer at all."""
    handler.close_connection = True


def wrong_bytes(handler: _Handler, content: bytes) -> None:
    """As long as the file, but another one."""
    handler.send_file(bytes(len(content)))


def web_page(handler: _Handler, content: bytes) -> None:
    """What drives and portals answer with."""
    handler.send_file(b"\n<!DOCTYPE html><title>Please log in</title>")


def status(code: int, **headers: str) -> Callable[[_Handler, bytes], None]:
    """An error or redirect without a body."""

    def fault(handler: _Handler, content: bytes) -> None:
        handler.send_response(code)
        for name, value in {"Content-Length": "0", **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()

    return fault


def chunked(upto: float) -> Callable[[_Handler, bytes], None]:
    """No length beforehand; `upto` 1 ends properly, less ends the connection after that share."""

    def fault(handler: _Handler, content: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        body = content[: int(upto * len(content))]
        handler.wfile.write(b"%x\r\n" % len(content) + body + (b"\r\n0\r\n\r\n" if upto == 1 else b""))
        handler.close_connection = True

    return fault


def undelimited(upto: float) -> Callable[[_Handler, bytes], None]:
    """Neither length nor chunks: the connection's end is the file's, as in HTTP/1.0."""

    def fault(handler: _Handler, content: bytes) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(content[: int(upto * len(content))])
        handler.close_connection = True

    return fault


@contextmanager
def serve(folder: Path) -> Iterator[FaultyServer]:
    """A running server of `folder`."""
    with FaultyServer(folder) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()
