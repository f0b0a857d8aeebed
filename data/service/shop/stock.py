"""What the shop sells, and how much of it is left."""

import functools

SOLD_OUT = "lamp-07"
PRODUCTS = [f"lamp-{number:02d}" for number in range(24)]


class Inventory:
    """Counts goods, and publishes ``stock`` whenever a count changes."""

    def __init__(self, bus):
        self._bus = bus
        self._left = {sku: 20 for sku in PRODUCTS}
        self._left[SOLD_OUT] = 0

    def reserve(self, sku, count):
        """Take goods off the shelf; False when there are too few."""
        if self._left[sku] < count:
            return False
        self._left[sku] -= count
        if self._left[sku] < 5:
            self._left[sku] += 15  # the warehouse delivers
        self._bus.publish("stock", sku, self._left[sku])
        return True


@functools.lru_cache(maxsize=16)
def product_page(sku):
    """Render a page. The cache is smaller than the catalogue, and full after the first rounds."""
    return f"<h1>{sku}</h1>" + "<p>A lamp for every desk.</p>" * 20
