"""Floor 3: results on disk. The only place, beside ``_base/atomic.py``, that opens files to write them."""
