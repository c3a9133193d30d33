"""Augmentation of clips: random draws, colour and blur."""

from kdvideo.former_names import former_attributes

__all__: list[str] = []

__getattr__ = former_attributes(__name__)
