"""Ready-made transforms: plain callables that take a message and return it, or a changed and validated copy.

A transform of one's own needs nothing from here; one that edits text is easiest as a :class:`TextTransform`.
When transforms run, and on which messages, is the business of routing and the pipeline.
"""

from protocol.transforms.censor import Censor
from protocol.transforms.text import TextTransform, Trim, Uppercase

__all__ = ["Censor", "TextTransform", "Trim", "Uppercase"]
