from typing import Any

class QuickPool:
    _idle: Any
    _out: Any
    _alert: bool
    _resets: bool
    @property
    def _taken_in_c(self) -> int: ...
    def acquire(self, timeout: float | None = None) -> Any: ...
    def release(self, obj: Any) -> None: ...
