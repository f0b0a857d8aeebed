"""The ground floor: units, safety, paths, atomic writes. Knows nothing of memory."""
