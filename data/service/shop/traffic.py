"""Traffic: one visitor logs in, looks at eight lamps and orders five, two of which are sold out."""

from shop.stock import PRODUCTS, SOLD_OUT
from shop.web import Request

LOOKS = 8
ORDERS = [SOLD_OUT, PRODUCTS[1], PRODUCTS[2], SOLD_OUT, PRODUCTS[3]]


def serve_round(app):
    """Send fourteen requests and check the answers."""
    token = app.handle(Request("POST", "/login", form={"user": "ada"})).body
    for number in range(LOOKS):
        sku = PRODUCTS[(number * 5) % len(PRODUCTS)]
        assert app.handle(Request("GET", f"/products/{sku}", token)).status == 200
    for sku in ORDERS:
        order = Request("POST", "/orders", token, {"sku": sku, "count": 2, "note": f"from {token}"})
        assert app.handle(order).status == (409 if sku == SOLD_OUT else 201)
