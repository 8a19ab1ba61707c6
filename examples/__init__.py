"""Runnable examples, each a file, and the complete chat application."""
