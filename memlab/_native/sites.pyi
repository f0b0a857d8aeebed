from typing import TypedDict

FOLLOWS: int

class State(TypedDict):
    running: bool
    domains: int
    hooked: bool
    samples: int
    lost: int
    lost_bytes: float
    live: int
    own_bytes: int
    followed: int

class Tables(TypedDict):
    names: list[str]
    living: list[int]
    frames: bytes
    stacks: bytes
    stack_frames: bytes
    rows: bytes
    sizes: bytes
    lives: bytes
    threads: bytes
    idents: bytes

def begin(mean_gap: float, frames: int, budget_bytes: int, seed: int, /) -> None: ...
def end() -> bool: ...
def follow() -> int: ...
def state() -> State: ...
def read() -> Tables: ...
