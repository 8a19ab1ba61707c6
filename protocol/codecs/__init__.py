"""Codecs: between a WebSocket frame and the JSON bodies of messages."""

from protocol.codecs.base import Codec
from protocol.codecs.json import JSON

__all__ = ["JSON", "Codec"]
