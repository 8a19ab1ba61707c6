"""The messages of the chat protocol: what a client asks for (``Join``, ``Say``) and what it hears (``Joined``, ``Said``)."""
