from array import array
from collections.abc import Callable

def recording(ring: array[int], state: array[int], /) -> Callable[[str, dict[str, int]], None]: ...
