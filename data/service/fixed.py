"""The shop with its leak mended: the same handler, but the ticket goes back on every way out.

    memlab leaks shop:step     finds the leak
    memlab leaks fixed:step    finds none
"""

from shop.handlers import Response, StockWatcher, make_app
from shop.traffic import serve_round


def create_order(app, request):
    """POST /orders."""
    watcher = StockWatcher(request)
    ticket = app.bus.subscribe("stock", watcher.on_stock)
    try:
        if not app.inventory.reserve(watcher.sku, request.form["count"]):
            return Response(409, "sold out")
    finally:
        app.bus.unsubscribe(ticket)
    return Response(201, "ordered, and nearly the last" if watcher.low else "ordered")


app = make_app(create_order=create_order)


def step():
    """Serve one round of traffic."""
    serve_round(app)
