"""Floor 3: pure functions from records to results. They run where nothing can be collected."""
