"""Full-size results, each beside the script that computes it, with what the claims must show and what the paper says.

Notebooks name stored files by FOLDER or by the scripts' PATH and path(name), so that they run in any working directory
in which this package is found.
"""

from pathlib import Path

FOLDER = Path(__file__).parent
"""Of criteria.toml, paper.toml and all that is stored."""
