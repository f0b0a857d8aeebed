"""An event bus: parts of the shop tell each other what happened without knowing each other."""

import itertools


class EventBus:
    """Calls every subscriber of a topic, in the order of subscription."""

    def __init__(self):
        self.subscribers = {}
        self._numbers = itertools.count(1)

    def subscribe(self, topic, callback):
        """Call ``callback`` at each event of ``topic`` until the returned ticket is handed back."""
        ticket = (topic, next(self._numbers))
        self.subscribers.setdefault(topic, {})[ticket] = callback
        return ticket

    def unsubscribe(self, ticket):
        """End a subscription."""
        del self.subscribers[ticket[0]][ticket]

    def publish(self, topic, *details):
        """Tell every subscriber of the topic."""
        for callback in list(self.subscribers.get(topic, {}).values()):
            callback(*details)
