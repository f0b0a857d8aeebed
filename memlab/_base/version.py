"""The version, where every floor can read it; pyproject.toml says the same, and a test compares them."""

__all__ = ["VERSION"]

VERSION = "0.1.0"
