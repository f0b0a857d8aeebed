"""Five references deep: a dead channel of a message broker whose backlog nobody reads."""

from collections import deque


class Message:
    def __init__(self, number):
        self.number = number
        self.body = f"order {number} " * 4


class Channel:
    def __init__(self):
        self.backlog = deque()


class Router:
    def __init__(self):
        self.channels = {}


class Broker:
    def __init__(self):
        self.router = Router()


BROKER = Broker()


def run():
    for name in ("orders", "mail", "audit"):
        BROKER.router.channels[name] = Channel()
    for number in range(60_000):
        BROKER.router.channels["audit"].backlog.append(Message(number))
        if number % 100 == 0:
            BROKER.router.channels["mail"].backlog.append(Message(number))


# module broker -> BROKER -> router -> channels -> Channel -> backlog
EXPECTED = {"label": "backlog (deque)", "contains": ["60,000", "Message", "BROKER"]}
