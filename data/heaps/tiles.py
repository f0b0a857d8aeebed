"""Five references deep: a memo inside a closure that a class keeps as its renderer; few objects, all large."""


class Layer:
    def __init__(self, draw):
        self.draw = draw


class Atlas:
    layers = []


def make_renderer():
    pyramids = {}

    def draw(level, tile):
        return pyramids.setdefault(level, {}).setdefault(tile, bytearray(1 << 18))

    return draw


def run():
    Atlas.layers.append(Layer(make_renderer()))
    Atlas.layers.append(Layer(make_renderer()))
    for tile in range(120):
        Atlas.layers[1].draw(7, tile)
    Atlas.layers[0].draw(1, 0)


# class Atlas -> layers -> Layer -> draw -> pyramids -> {7: ...}
EXPECTED = {"label": "dict", "contains": ["120", "bytearray", "pyramids"]}
