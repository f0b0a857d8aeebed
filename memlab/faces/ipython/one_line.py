"""memlab's own errors as the shell's one-line kind; the user's own, whole and without memlab's frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from IPython.core.error import UsageError as ShellUsageError

from memlab.errors import MemlabError
from memlab.faces.user_errors import drop_memlab_frames

if TYPE_CHECKING:
    from memlab.faces.steps import Watched

__all__ = ["OneLine"]


class OneLine:
    """Turns memlab's own errors into the shell's one-line kind; all others pass, the step's too.

    A step's exception passes without memlab's frames. (No generator: ``contextlib`` would put them back.)
    """

    def __init__(self, step: Watched | None = None) -> None:
        self._step = step

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        __tracebackhide__ = True
        if self._step is not None and error is not None and self._step.raised is error:
            error.__traceback__ = drop_memlab_frames(error.__traceback__)
        elif isinstance(error, MemlabError):
            raise ShellUsageError(str(error)) from None
