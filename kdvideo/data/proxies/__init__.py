"""Proxies: small copies of videos that decode fast from any frame on."""

from kdvideo.former_names import former_attributes

__all__: list[str] = []

__getattr__ = former_attributes(__name__)
