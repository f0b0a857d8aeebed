"""One function for each route."""

from shop.bus import EventBus
from shop.sessions import SessionStore
from shop.stock import Inventory, product_page
from shop.web import Application, Response


class StockWatcher:
    """While an order is paid, notices that the goods it wants run low."""

    def __init__(self, request):
        self.request = request
        self.sku = request.form["sku"]
        self.low = False

    def on_stock(self, sku, left):
        """Hear of a change of stock."""
        if sku == self.sku and left < 8:
            self.low = True


def log_in(app, request):
    """POST /login."""
    return Response(200, app.sessions.open(request.form["user"]).token)


def show_product(app, request):
    """GET /products/<sku>."""
    sku = request.path.rpartition("/")[2]
    session = app.sessions.find(request.token)
    if session is not None:
        session.seen.append(sku)
    return Response(200, product_page(sku))


def create_order(app, request):
    """POST /orders."""
    watcher = StockWatcher(request)
    ticket = app.bus.subscribe("stock", watcher.on_stock)
    if not app.inventory.reserve(watcher.sku, request.form["count"]):
        return Response(409, "sold out")
    app.bus.unsubscribe(ticket)
    return Response(201, "ordered, and nearly the last" if watcher.low else "ordered")


def make_app(**handlers):
    """Put the shop together; keywords replace handlers, for example ``create_order=…``."""
    bus = EventBus()
    app = Application(bus=bus, sessions=SessionStore(), inventory=Inventory(bus))
    app.routes["POST /login"] = log_in
    app.routes["GET /products"] = show_product
    app.routes["POST /orders"] = handlers.get("create_order", create_order)
    return app
