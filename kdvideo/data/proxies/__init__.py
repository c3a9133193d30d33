"""Proxies: small copies of videos that decode fast from any frame on."""

from kdvideo.data.proxies.transcode import ProxyConfig, proxy_name, write_proxy

__all__ = ["ProxyConfig", "proxy_name", "write_proxy"]
