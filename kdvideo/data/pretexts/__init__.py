"""Pretext tasks: what is done to a tuple of clips, and how many answers there are."""
