"""Ask an advisory source about every package of requirements.lock: `python tools/audit.py [address]`, or `make audit`.

The default is OSV, https://osv.dev, which holds the advisories of PyPI and GitHub; another address must answer as its
`/v1/querybatch` does. It exits with 0 where the source knows of none, with 1 where it knows of some, and with 2 where
it did not answer for every package, which says nothing about any of them. Nothing is sent but names and versions.
"""

import json
import re
import sys
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

LOCK = Path(__file__).parents[1] / "requirements.lock"
SOURCE = "https://api.osv.dev/v1/querybatch"
SECONDS = 60  # to wait for an answer
PAGES = 20  # of one package


def locked(text: str) -> list[tuple[str, str]]:
    """Name and version of each package of a lock; ValueError where there is none."""
    pairs = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", text, re.MULTILINE)
    if not pairs:
        raise ValueError("a lock must pin packages, got none; `make lock` makes it")
    return pairs


def advisories(packages: list[tuple[str, str]], source: str) -> dict[tuple[str, str], list[str]]:
    """The identifiers of the advisories that concern a package, for those that have any.

    Raises:
        OSError, HTTPException: the source did not answer.
        ValueError, LookupError, TypeError, AttributeError: it answered something else, or not for every package.
    """
    found: dict[tuple[str, str], set[str]] = {}
    waiting = dict.fromkeys(packages, "")  # package -> the page to ask for
    for _ in range(PAGES):
        pages = {}
        for package, result in zip(waiting, _ask(source, waiting), strict=True):
            found.setdefault(package, set()).update(str(one["id"]) for one in result.get("vulns", ()))
            if page := result.get("next_page_token"):
                pages[package] = page
        if not pages:
            return {package: sorted(ids) for package, ids in found.items() if ids}
        waiting = pages
    raise ValueError(f"more than {PAGES} pages")


def _ask(source: str, waiting: Mapping[tuple[str, str], str]) -> list[dict[str, Any]]:
    """One page of what is known of each package."""
    queries = [
        {"package": {"ecosystem": "PyPI", "name": name}, "version": version} | ({"page_token": page} if page else {})
        for (name, version), page in waiting.items()
    ]
    request = Request(source, json.dumps({"queries": queries}).encode(), {"Content-Type": "application/json"})
    with urlopen(request, timeout=SECONDS) as response:
        results = json.load(response)["results"]
    if len(results) != len(queries):
        raise ValueError(f"{len(results)} results for {len(queries)} packages")
    return results


def main(source: str = SOURCE, lock: Path = LOCK) -> int:
    """Say what is known of the lock; return the exit status."""
    packages = locked(lock.read_text(encoding="utf-8"))
    try:
        found = advisories(packages, source)
    except (OSError, HTTPException, ValueError, LookupError, TypeError, AttributeError) as error:
        print(
            f"{lock.name} is not checked: {source} gave no answer that can be read ({error!r:.200}). That says nothing "
            "about its packages: ask again, or name another source, as in make audit ARGS=ADDRESS",
            file=sys.stderr,
        )
        return 2
    for (name, version), ids in found.items():
        print(f"{name} {version}: {', '.join(ids)}")
    print(f"{source} knows of advisories for {len(found) or 'none'} of the {len(packages)} packages of {lock.name}.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
