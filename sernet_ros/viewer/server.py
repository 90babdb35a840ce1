"""Serves the page, the pictures as motion JPEG and the figures as JSON."""

from __future__ import annotations

import errno
import ipaddress
import json
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sernet_core.errors import ConfigError
from sernet_ros.viewer.page import PAGE
from sernet_ros.viewer.state import CAMERA, OVERLAY, ViewState

_BOUNDARY = "frame"
_PATIENCE = 2.0  # seconds; a browser that went away is noticed when the next picture is sent
_PORT_FAULTS = (errno.EADDRINUSE, errno.EACCES)
_ELSEWHERE = "this view is for this machine alone, under http://localhost or 127.0.0.1; --host opens it"


class ViewServer:
    """A web server in threads of its own.

    On an address of this machine alone it answers only to that address and to localhost: a page from the
    internet whose name leads here (DNS rebinding) would otherwise read the pictures.

    Args:
        state: What is shown.
        host: Address to listen on.
        port: Port; 0 takes a free one.

    Raises:
        ConfigError: The address cannot be had.
    """

    def __init__(self, state: ViewState, host: str, port: int) -> None:
        self._state = state
        try:
            self._server = _Server((host, port), _handler(state))
        except (OSError, OverflowError) as error:
            # An overflow is of the port.
            about_port = not isinstance(error, OSError) or error.errno in _PORT_FAULTS
            remedy = (
                "choose another port with --port"
                if about_port
                else "give an address of this machine with --host, or 0.0.0.0 for all of them"
            )
            raise ConfigError(f"cannot listen on {host}:{port} ({error}); {remedy}") from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="view", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Where a browser finds the page."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}/"

    def close(self) -> None:
        """Stop serving."""
        self._state.close()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5.0)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def answers_to(self, host: str) -> bool:
        """Whether a request with that Host header, which names the page's own server, is meant for it."""
        own = str(self.server_address[0])
        name = host.rpartition(":")[0] if ":" in host else host
        return not ipaddress.ip_address(own).is_loopback or name.lower() in (own, "localhost")

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in mid-picture is nothing to tell of."""


def _handler(state: ViewState) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server: _Server

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if not self.server.answers_to(self.headers.get("Host", "")):
                self.send_error(HTTPStatus.FORBIDDEN, explain=_ELSEWHERE)
            elif path == "/":
                self._send("text/html; charset=utf-8", PAGE.encode())
            elif path == "/figures":
                self._send("application/json", json.dumps(state.figures()).encode())
            elif path.strip("/") in (CAMERA, OVERLAY):
                self._stream(path.strip("/"))
            else:
                self.send_error(HTTPStatus.NOT_FOUND)

        def _send(self, kind: str, content: bytes) -> None:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(content)

        def _stream(self, kind: str) -> None:
            """Pictures without end, the newest each time: a slow browser leaves some out."""
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            seen, last = 0, b""
            self.wfile.write(f"--{_BOUNDARY}\r\n".encode())
            while not state.closed:
                found = state.next_jpeg(kind, seen, _PATIENCE)
                if found is not None:
                    seen, last = found
                if last:
                    # The last picture once more keeps the line open, and shows whether anybody is there.
                    head = f"Content-Type: image/jpeg\r\nContent-Length: {len(last)}\r\n\r\n"
                    # The boundary at once: browsers paint a picture when it has come, not the picture's end.
                    self.wfile.write(head.encode() + last + f"\r\n--{_BOUNDARY}\r\n".encode())

        def log_message(self, format: str, *args: Any) -> None:
            """Requests are no news."""

    return Handler
