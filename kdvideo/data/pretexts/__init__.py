"""Pretext tasks: operations on a tuple of clips, which a network has to recognise."""
