"""Reading video files: the readers, what a file is, and what the system says of one that it does not give."""
