"""Programs that tests run in a process of their own."""

import subprocess
from collections.abc import Sequence
from typing import Any


def printed(command: Sequence[str], **options: Any) -> str:
    """What a program printed; one that fails shows its whole output, which CalledProcessError would keep to itself."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{command} returned {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
