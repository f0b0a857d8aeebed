"""Caches for any number of threads: one engine in ``base``, and what is special of each kind on top of it."""
