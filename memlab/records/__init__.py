"""Floor 1: the values that memlab works with. Columns in numpy; no I/O, no clock, no collector."""
