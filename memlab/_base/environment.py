"""What a result says about where it was made: versions only, never a path, host, user or argument."""

import platform
import sys

from memlab._base.version import VERSION

__all__ = ["describe_environment"]


def describe_environment() -> dict[str, str]:
    """Return Python, platform and memlab versions."""
    return {
        "memlab": VERSION,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": f"{sys.platform} {platform.machine()}",
    }
