"""Whole experiments made of several runs."""
