"""A small shop, in process: a web service as one meets it, with a leak as one meets it.

``step()`` serves one round of traffic, fourteen requests, on ``app``. Nothing here knows memlab.
"""

from shop.handlers import make_app
from shop.traffic import serve_round

app = make_app()


def step():
    """Serve one round of traffic."""
    serve_round(app)
