"""The handlers of the chat protocol, one router for each kind of message."""
