"""The AsyncAPI document of a protocol: made from the served application, read, and held to what it should be."""

from protocol.asyncapi.builder import SERVER, Described, at, build, document
from protocol.asyncapi.linter import CODES, Finding, lint
from protocol.asyncapi.reading import Payload, Reader

__all__ = ["CODES", "SERVER", "Described", "Finding", "Payload", "Reader", "at", "build", "document", "lint"]
