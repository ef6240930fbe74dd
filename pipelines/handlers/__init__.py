"""What an engine does beside its iterations: average weights, log, validate, keep checkpoints, stop when asked."""
