"""Reading video files: the readers, what a file is, and why a file cannot be read."""
