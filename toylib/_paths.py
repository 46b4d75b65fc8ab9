"""Paths that users name: expanded, followed and checked before anything is computed for them."""

import os
import re
from pathlib import Path
from typing import Any

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/|.*::")  # of two letters or more before the colon, unlike drives
"""An address, or several joined by two colons, as fsspec has them, which would read any path with these so."""


def checked_path(name: str, value: Any, *, write: bool = False) -> Path:
    """The absolute path of a file or folder on this machine, with ~ expanded and links followed.

    Args:
        name: of the argument.
        value: what was passed in.
        write: something is to be made there.

    Raises:
        TypeError: neither a string nor a path.
        ValueError: an address such as s3://bucket/x, two colons in a row, or a path that cannot be there.
    """
    if not isinstance(value, str | os.PathLike) or isinstance(os.fspath(value), bytes):
        raise TypeError(f"{name} must be a path, got {value!r}; pass a string or a pathlib.Path")
    text = os.fspath(value)
    if _ADDRESS.match(text):
        raise ValueError(
            f"{name} must be on a file system of this machine, got the address {text!r}; name a folder here and copy "
            "what is written to the address"
        )
    try:
        if not text:
            raise ValueError("an empty name")
        path = Path(text).expanduser().resolve()
        path.exists()  # OSError for a name that no file can have
        # Not the path itself, which another process may be making or removing at this moment.
        place = next((parent for parent in path.parents if parent.exists()), path)
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"{name} must be a path that can be there, got {text!r:.200}: {error}; name another"
        ) from error
    if write and not (place.is_dir() and os.access(place, os.W_OK)):
        raise ValueError(f"{name} must be where we may write, got {text!r}, and {place} is not; name another place")
    return path
