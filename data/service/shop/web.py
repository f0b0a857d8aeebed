"""Requests, responses, routes: the least of a web framework."""

import collections
import json


class Request:
    """One request, parsed."""

    def __init__(self, method, path, token="", form=None):
        self.method = method
        self.path = path
        self.token = token
        self.body = json.dumps(form or {})
        self.headers = {"content-type": "application/json", "content-length": str(len(self.body))}

    @property
    def form(self):
        """The body, decoded."""
        return json.loads(self.body)


class Response:
    """What goes back."""

    def __init__(self, status, body=""):
        self.status = status
        self.body = body


class Application:
    """Finds the handler of a request and keeps a short access log."""

    def __init__(self, **parts):
        self.routes = {}
        self.log = collections.deque(maxlen=50)
        self.__dict__.update(parts)

    def handle(self, request):
        """Answer one request."""
        resource = request.path.split("/")[1]
        response = self.routes[f"{request.method} /{resource}"](self, request)
        self.log.append((request.method, request.path, response.status))
        return response
