"""memlab's family of errors.

Each message names the step that failed and what to do about it. Every class also derives from the builtin
that a caller would expect, so ``except ValueError`` works without knowing memlab. The command line prints
one of these as one line; anything else that escapes is a bug and keeps its traceback.
"""

__all__ = [
    "BudgetError",
    "CaptureError",
    "KindError",
    "MemlabError",
    "MissingExtraError",
    "PoolTimeoutError",
    "StepError",
    "UnavailableError",
    "UsageError",
]


class MemlabError(Exception):
    """Base of every error that memlab raises on purpose."""


class UsageError(MemlabError, ValueError):
    """Raised when an argument cannot be used as given; the message says what would work."""


class StepError(MemlabError, TypeError):
    """Raised when the step to be measured is not something that can be called again and again."""


class KindError(MemlabError, TypeError):
    """Raised when an object is of a type that cannot be used so; the message says which would do."""


class PoolTimeoutError(MemlabError, TimeoutError):
    """Raised when no object of a pool came back within the time that a caller would wait."""


class CaptureError(MemlabError, ValueError):
    """Raised when a file is no capture, or a damaged one, or larger than the reader's limits."""


class UnavailableError(MemlabError, RuntimeError):
    """Raised when this interpreter, platform or moment cannot give what was asked for."""


class BudgetError(MemlabError, MemoryError):
    """Raised when memory that was asked for would pass a budget or the machine's reserve."""


class MissingExtraError(MemlabError, ImportError):
    """Raised when an optional part is not installed; the message is the command that installs it."""

    @classmethod
    def needs(cls, what: str, module: str, extra: str) -> "MissingExtraError":
        """Say that ``what`` needs ``module``, which the extra ``extra`` brings."""
        return cls(f"{what} needs {module}: pip install 'memlab[{extra}]'")
