"""What a web service on loopback feels of a sampled recording that stays on: latency, with and without.

The service is a process of its own: the standard library's threading server, whose handler parses a JSON
document, makes objects and strings of it, keeps a part in a bounded cache and answers in JSON. Four clients,
in another process, send requests at a steady rate, so that a slow answer is not followed by a pause. In turn,
for some seconds each, the service runs bare; traced, ``memlab.trace()``, a block each 512 KiB; and recorded,
``memlab.record(sites=True)``, which adds the sampler process, the thread inside and looks after 1, 2, 4 ...
seconds. The first second of each stretch is left out. Latencies of all stretches of a kind are put together.
The ratio of two halves of the bare stretches is printed beside: it shows how much the machine alone moves.

    python benchmarks/always_on.py [--minutes 2] [--stretch 10] [--rate 120]     (an hour: --minutes 60)
"""

from __future__ import annotations

import argparse
import http.client
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

SERVICE = """
import json, sys, threading
from collections import OrderedDict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DOCUMENT = json.dumps(
    [{'id': n, 'name': 'item %d' % n, 'tags': ['a', str(n)], 'price': n / 7} for n in range(200)]
)
CACHE, LOCK = OrderedDict(), threading.Lock()
recorder = None

def answer(number):
    items = json.loads(DOCUMENT)
    for item in items:
        item['label'] = item['name'].title() + ' ' + str(number)
    with LOCK:
        CACHE[number % 5000] = items[: number % 20]
        if len(CACHE) > 2000:
            CACHE.popitem(last=False)
    return json.dumps(sorted(items, key=lambda item: item['label'])[:50]).encode()

class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True
    def do_GET(self):
        global recorder
        what = self.path[1:]
        if what == 'traced':
            import memlab
            recorder = memlab.trace(sample='512 KiB').start()
            body = b''
        elif what == 'recorded':
            import memlab
            recorder = memlab.record(sites=True).start()
            body = b''
        elif what == 'bare':
            result = recorder.stop()
            body = getattr(result, 'sites', result).notes[0].encode()
        else:
            body = answer(int(what))
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *ignored):
        pass

server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
server.daemon_threads = True
print(server.server_port, flush=True)
server.serve_forever()
"""
CLIENTS = 4
KINDS = ("bare", "traced", "recorded")
SETTLE_S = 1.0


def asked(port: int, what: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", f"/{what}")
    body = connection.getresponse().read()
    connection.close()
    return body


def stretch(port: int, seconds: float, rate: float) -> list[float]:
    """Send requests at a rate for so long; return latencies from when each was due, in seconds."""
    found: list[float] = []

    def client(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        mine = []
        step = CLIENTS / rate
        start = time.perf_counter() + number / rate
        due, count = start, 0
        while due < start + seconds:
            time.sleep(max(0.0, due - time.perf_counter()))
            connection.request("GET", f"/{number + CLIENTS * count}")
            connection.getresponse().read()
            if due >= start + SETTLE_S:
                mine.append(time.perf_counter() - due)
            count += 1
            due += step
        connection.close()
        found.extend(mine)

    threads = [threading.Thread(target=client, args=(n,)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--stretch", type=float, default=10.0, help="seconds of each stretch")
    parser.add_argument("--rate", type=float, default=120.0, help="requests a second")
    args = parser.parse_args()
    root = str(Path(__file__).parent.parent)
    service = subprocess.Popen(
        [sys.executable, "-c", SERVICE],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert service.stdout is not None
    port = int(service.stdout.readline())
    latencies: dict[str, list[list[float]]] = {kind: [] for kind in KINDS}
    said = ""
    try:
        stretch(port, 3.0, args.rate)
        for kind in KINDS[1:]:  # imports are not what stays on
            asked(port, kind)
            asked(port, "bare")
        for turn in range(max(int(args.minutes * 60 / args.stretch / len(KINDS)), 2)):
            for at in range(len(KINDS)):
                kind = KINDS[(at + turn) % len(KINDS)]
                if kind != "bare":
                    asked(port, kind)
                latencies[kind].append(stretch(port, args.stretch, args.rate))
                if kind != "bare":
                    said = asked(port, "bare").decode()
    finally:
        service.kill()
        service.wait()
    load = os.getloadavg()[0]
    every = {kind: [one for part in parts for one in part] for kind, parts in latencies.items()}
    print(f"{sum(map(len, every.values())):,} requests at {args.rate:g}/s, load {load:.1f}; {said}")
    print(f"{'':16s}{'median':>10s}{'p90':>10s}{'p99':>10s}{'p99.9':>10s}  ms")
    shares = (0.5, 0.9, 0.99, 0.999)
    for kind in KINDS:
        print(f"{kind:16s}" + "".join(f"{1e3 * percentile(every[kind], s):10.2f}" for s in shares))
    halves = [[one for part in latencies["bare"][at::2] for one in part] for at in (0, 1)]
    pairs = {f"{kind} / bare": (every[kind], every["bare"]) for kind in KINDS[1:]}
    for name, (over, under) in {**pairs, "bare / bare": (halves[0], halves[1])}.items():
        print(f"{name:16s}" + "".join(f"{percentile(over, s) / percentile(under, s):10.3f}" for s in shares))
    return 0


if __name__ == "__main__":
    sys.exit(main())
