"""Checks a dataset's files, in processes that may hang or crash, and keeps the results in manifests."""
