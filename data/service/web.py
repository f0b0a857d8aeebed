"""The shop behind HTTP, on this machine alone. Nothing here knows memlab.

    python web.py           the shop with its leak
    python web.py --fixed   the shop without

It prints its port, and ends when its standard input does, so that it never outlives who started it.
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import fixed
import shop
from shop.web import Request

APP = fixed.app if "--fixed" in sys.argv else shop.app
ONE_AT_A_TIME = threading.Lock()  # the shop itself was not written for threads


class Handler(BaseHTTPRequestHandler):
    """One connection; several requests may come over it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        """Answer a request for a page."""
        self._answer({})

    def do_POST(self):
        """Answer a request that brings a form, as JSON."""
        self._answer(json.loads(self.rfile.read(int(self.headers["content-length"]))))

    def _answer(self, form):
        request = Request(self.command, urlsplit(self.path).path, self.headers.get("x-token", ""), form)
        with ONE_AT_A_TIME:
            response = APP.handle(request)
        body = response.body.encode()
        self.send_response(response.status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing: the shop keeps its own log."""


def main():
    """Serve until standard input ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()
    server.shutdown()
    server.server_close()


if __name__ == "__main__":
    main()
