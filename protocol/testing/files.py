"""How the reports and transcripts are written to disk."""

from pathlib import Path


def write(path: Path, text: str) -> None:
    """Write a file, and the folder that it is in.

    A lone surrogate, which UTF-8 has no place for, is written as ``\\udXXX``: in JSON that is the same text.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", errors="backslashreplace")
