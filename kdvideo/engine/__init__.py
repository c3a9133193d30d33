"""Training: loop, hooks, checkpoints, and the run from config to published student."""
