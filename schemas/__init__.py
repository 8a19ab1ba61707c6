"""The messages of the chat protocol: what the client sends (``…In`` and commands) and what the server says."""
