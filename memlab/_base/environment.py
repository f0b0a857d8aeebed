"""What a result says about where it was made: versions only, never a path, host, user or argument."""

import platform
import sys

__all__ = ["describe_environment"]


def describe_environment() -> dict[str, str]:
    """Return Python, platform and memlab versions."""
    from memlab import __version__

    return {
        "memlab": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": f"{sys.platform} {platform.machine()}",
    }
