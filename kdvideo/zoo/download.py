"""Downloading over HTTP: resumes, retries, and ends in the right file or in one error."""

import logging
import socket
import ssl
import time
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse, InvalidURL
from pathlib import Path
from typing import Any, cast
from urllib.error import HTTPError, URLError
from urllib.parse import urlparse

from tqdm import tqdm

from kdvideo.files import file_sha256
from kdvideo.foreign import printable
from kdvideo.version import __version__
from kdvideo.zoo.partial import PartialFile

__all__ = ["DownloadPolicy", "download"]

logger = logging.getLogger("kdvideo")

_CHUNK_BYTES = 1 << 20
_TRANSIENT_STATUS = (408, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class DownloadPolicy:
    """When a download gives up.

    Attributes:
        attempts: the number of attempts in a row without a new byte.
        timeout: seconds within which a server must accept a connection or send its next byte.
        first_wait: seconds between the first two attempts. Each later wait is twice as long.
        longest_wait: the longest wait in seconds, even if a server asks for more (`Retry-After`).
        most_bytes: the largest file, whatever its entry or its server says.
    """

    attempts: int = 5
    timeout: float = 30.0
    first_wait: float = 1.0
    longest_wait: float = 60.0
    most_bytes: int = 64 << 30


POLICY = DownloadPolicy()


class _TransientError(Exception):
    """An error that may go away.

    Attributes:
        wait: the seconds that the server asked for.
    """

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


def download(
    url: str, target: Path, *, sha256: str = "", size: int | None = None, policy: DownloadPolicy | None = None
) -> None:
    """Downloads a file to `target`. Only the whole file ever has that name.

    The caller holds a lock: two processes must not write one target at once.

    Args:
        url: the address, http:// or https://.
        target: the path of the file. Its folder is made.
        sha256: the file's hash or its first digits. "" if unknown.
        size: the file's size in bytes. None if unknown.
        policy: when to give up.

    Raises:
        ValueError: the file cannot be downloaded, or `sha256` or `size` differ. A part that can be continued stays.
        OSError: the file cannot be written.
    """
    policy = policy or POLICY
    target.parent.mkdir(parents=True, exist_ok=True)
    part = PartialFile(target, url)
    furthest, failures = part.size, 0
    while True:
        try:
            _receive(url, part, sha256=sha256, size=size, policy=policy)
            break
        except _TransientError as error:
            failures = 1 if part.size > furthest else failures + 1
            furthest = max(furthest, part.size)
            if failures >= policy.attempts:
                raise ValueError(f"{url} cannot be downloaded: {error} (tried {failures} times)") from None
            wait = min(max(policy.first_wait * 2 ** max(failures - 1, 0), error.wait), policy.longest_wait)
            logger.warning("%s: %s; next attempt in %.1f s", url, error, wait)
            time.sleep(wait)
    part.finish(target)


def _receive(url: str, part: PartialFile, *, sha256: str, size: int | None, policy: DownloadPolicy) -> None:
    """Makes one attempt. Begins or continues `part`, and returns once it is whole and right."""
    # Without a version, only the hash can tell whether the two parts belong together.
    offset = part.size if part.version or sha256 else 0
    with _open(url, offset, version=part.version, timeout=policy.timeout) as response:
        offset = _place(response, part, offset)
        length = 0 if response.status == 416 else response.length  # None: chunks, or the connection's end ends the file
        total = None if length is None else offset + length
        is_delimited = total is not None or bool(response.chunked)
        if size is not None and total not in (None, size):
            part.discard()
            raise ValueError(f"{url} has {total} bytes, expected {size}: it is another file, nothing was kept")
        most_bytes = policy.most_bytes if size is None else min(size, policy.most_bytes)
        if total is not None and total > most_bytes:
            part.discard()
            raise ValueError(f"{url} has {total} bytes, more than the {most_bytes} that are fetched: nothing was kept")
        if not (is_delimited or size or sha256):
            part.discard()
            raise ValueError(
                f"{url} cannot be downloaded: the server does not say how long the file is and its hash is not known, "
                "so part of it could be taken for the whole"
            )
        part.open().close()  # so that an empty answer gives an empty file
        if length != 0:
            _copy(response, part, total=total or size, most_bytes=most_bytes)
    if part.size > most_bytes:
        part.discard()
        raise ValueError(f"{url} sends more than the {most_bytes} bytes that it should have: nothing was kept")
    expected_size = total if size is None else size
    if expected_size is not None and part.size < expected_size:
        raise _TransientError(f"the connection ended after {part.size} of {expected_size} bytes")
    _check(url, part, sha256=sha256, size=expected_size, may_be_incomplete=not is_delimited)


def _place(response: HTTPResponse, part: PartialFile, offset: int) -> int:
    """Returns where the response's bytes belong in `part`. It empties `part` if the response is the whole file."""
    content_range = response.headers.get("Content-Range", "")
    if response.status == 206 and content_range.startswith(f"bytes {offset}-"):
        part.is_joined = True
        return offset
    if response.status == 416 and content_range == f"bytes */{offset}":
        return offset  # everything had arrived: a kill came just before the end
    if response.status != 200:
        part.discard()
        raise _TransientError(f"the server has no continuation at byte {offset}")
    part.start(_version_of(response))
    return 0


def _check(url: str, part: PartialFile, *, sha256: str, size: int | None, may_be_incomplete: bool) -> None:
    actual = file_sha256(part.path)  # of the whole file, so that the bytes of earlier attempts are checked as well
    if actual.startswith(sha256) and size in (None, part.size):
        return
    joined = part.is_joined
    part.discard()
    message = f"it has sha256 {actual[:16]}..., expected {sha256[:16]}..."
    if joined or may_be_incomplete:
        raise _TransientError(message)
    raise ValueError(f"{url}: {message}; the file is damaged or not the published one: nothing was kept")


def _copy(response: HTTPResponse, part: PartialFile, *, total: int | None, most_bytes: int) -> None:
    """Copies the response to `part`, little more than `most_bytes`. A server that sends chunks may never end."""
    length, name = part.size, printable(part.target_name)
    with (
        part.open() as stream,
        tqdm(total=total, initial=length, desc=name, unit="B", unit_scale=True, disable=None, leave=False) as progress,
    ):
        while length <= most_bytes and (chunk := _read(response)):
            stream.write(chunk)
            length += len(chunk)
            progress.update(len(chunk))


def _read(response: HTTPResponse) -> bytes:
    try:
        return response.read1(_CHUNK_BYTES)  # as far as it has come: a broken connection would cost `read` a chunk
    except TimeoutError:
        raise _TransientError("the server stopped sending") from None
    except (OSError, HTTPException) as error:
        raise _TransientError(f"the connection broke ({error or type(error).__name__})") from None


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects over HTTP, but not from https to http, where anybody on the way could exchange the file."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        scheme = urlparse(newurl).scheme
        if scheme not in ("http", "https") or (req.type == "https" and scheme != "https"):
            raise ValueError(f"it redirects from {req.type} to {newurl}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_OPENER = urllib.request.build_opener(_SafeRedirects)


def _open(url: str, offset: int, *, version: str, timeout: float) -> HTTPResponse:
    headers = {"User-Agent": f"kdvideo/{__version__}", "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if version:
            headers["If-Range"] = version  # if the version has changed, the server sends the whole file
    try:
        return _OPENER.open(urllib.request.Request(url, headers=headers), timeout=timeout)
    except HTTPError as error:
        if error.code in _TRANSIENT_STATUS:
            raise _TransientError(str(error), wait=_retry_after(error)) from None
        if error.code == 416 and offset:
            return cast(HTTPResponse, error)  # there are no more bytes: perhaps the part is complete
        raise ValueError(f"{url} cannot be downloaded: {' '.join(str(error).split())}") from None
    except InvalidURL as error:
        raise ValueError(f"{url} cannot be downloaded: {error}") from None
    except (OSError, HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        if isinstance(reason, socket.gaierror | ssl.SSLCertVerificationError | str):
            raise ValueError(f"{url} cannot be downloaded: {reason}{_way_of(url)}") from None
        raise _TransientError(f"{str(reason) or type(reason).__name__}{_way_of(url)}") from None
    except ValueError as error:  # not a valid address, or a refused redirect
        raise ValueError(f"{url} cannot be downloaded: {error}") from None


def _way_of(url: str) -> str:
    """Names the proxy of a request, without user and password. The proxy may be the part that does not answer."""
    address = urlparse(url)
    proxy = urllib.request.getproxies().get(address.scheme)
    if not proxy or urllib.request.proxy_bypass(address.hostname or ""):
        return ""
    host = proxy.rpartition("@")[2].rpartition("//")[2]
    return f" (through the proxy {host}, which {address.scheme}_proxy names)"


def _version_of(response: HTTPResponse) -> str:
    """Returns the value for `If-Range`: a strong ETag, else the date of the last change, else ""."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")


def _retry_after(error: HTTPError) -> float:
    value = error.headers.get("Retry-After", "")
    return float(value) if value.isdigit() else 0.0
