"""Classes for servers to be run with; each is named in the server's own configuration.

What they add reaches the framework through :class:`protocol.types.Wire` alone, so that every other ASGI server
works too, through ``send``.
"""
