"""Pictures of runs and of what models have learned: each a pure function to a matplotlib figure."""
