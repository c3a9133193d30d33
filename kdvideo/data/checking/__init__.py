"""Checking a dataset's files, each in a process that may hang or crash, and remembering the answers in manifests."""
