"""Floor 5: what a person touches. A face parses, calls and shows; it decides nothing."""
