"""Floor 2: what touches the process (probe, sampler, tracer, references) and returns records."""
