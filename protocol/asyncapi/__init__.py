"""The AsyncAPI document of a protocol: made from the served application, read, and held to what it should be."""

from protocol.asyncapi.builder import Described, at, document

__all__ = ["Described", "at", "document"]
