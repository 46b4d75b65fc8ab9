"""When two outputs of a notebook count as the same: the tolerance of the strict check and of `make notebooks`.

Another CPU, instruction set or thread count moves results by rounding. Nothing is skipped on that account; numbers
are compared with a tolerance instead, and everything that is not a number must be equal.

**Text** (streams, text/plain, HTML, Markdown, strings in figures), line by line:

- Text between numbers is equal, spaces included. In a right-aligned column a number may take the place of spaces
  before it ("  9.99" and " 10.00").
- Integers are equal, and so are digits inside words (`W1`, `relu2`, `1.2.3`), `nan` and `inf`.
- Decimals have equally many decimals, both an exponent or neither, and differ by at most one unit in the last
  printed place (rounding cannot do more), this being at most 5 % of the larger one: 0.970 and 0.971 agree, 0.0033 and
  0.0043 do not (ten units), neither do 0.01 and 0.02, nor 0.00 and 0.01 (one unit, but another result). So whatever
  may move is printed with two digits that matter. -0.00 is 0.00.

**Figures** (JSON): equal structure, keys, lengths and types.

- Arrays, typed (`{dtype, bdata, shape}`) or plain lists of numbers, differ by at most 0.5 % of the largest magnitude
  in the stored array, so that arrays of small numbers are held to their own scale; NaN and infinities stay where they
  are; typed arrays have equal dtype and shape; integer arrays are equal.
- A single float is such an array, so it differs by at most 0.5 % of itself; integers and booleans are equal.
- 1e-9 is allowed in addition, for zeros.

**Outputs** agree in number, order, kind and MIME types. A picture (image/png) is derived from its figure, and a widget
view holds nothing but a random identifier: these two are left out. Metadata and execution counts are no results.
"""

import base64
import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import zip_longest
from types import NoneType
from typing import Any

import numpy as np

PLOTLY = "application/vnd.plotly.v1+json"
PICTURE = "image/png"
WIDGET = "application/vnd.jupyter.widget-view+json"

RELATIVE, ABSOLUTE = 5e-3, 1e-9
PRINTED = Decimal("0.05")
NUMBER = re.compile(r"( *(?<![\w.])[-+]?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?(?!\w|\.[0-9]))")


def outputs_difference(stored: list[dict], fresh: list[dict]) -> str | None:
    """Describe the first difference between two cells' outputs (nbformat's dictionaries); None if they agree."""
    return difference([_result(output) for output in stored], [_result(output) for output in fresh])


def difference(stored: Any, fresh: Any) -> str | None:
    """Describe the first difference between two JSON values, strings included; None if they agree."""
    return next(_differences(stored, fresh, "output"), None)


def array(value: Any) -> np.ndarray | None:
    """Decode plotly's typed array, a list of numbers (null is NaN) or a float; None for anything else."""
    if isinstance(value, dict) and {"dtype", "bdata"} <= value.keys():
        flat = np.frombuffer(base64.b64decode(value["bdata"]), np.dtype(value["dtype"]).newbyteorder("<"))
        return flat.reshape([int(size) for size in str(value.get("shape", flat.size)).split(",")])
    if isinstance(value, list) and value and all(type(item) in (int, float, NoneType) for item in value):
        return np.array(value, int if all(type(item) is int for item in value) else float)
    return np.array(value) if isinstance(value, float) else None


def _result(output: dict) -> dict:
    """Return what an output says, without what the module's docstring leaves out."""
    result = {key: value for key, value in output.items() if key not in ("metadata", "execution_count")}
    if "data" in output:
        result["data"] = {mime: value for mime, value in output["data"].items() if mime not in (PICTURE, WIDGET)}
    return result


def _differences(stored: Any, fresh: Any, where: str) -> Iterator[str]:
    """Yield a line for each difference; `where` is the path to the two values."""
    first, second = array(stored), array(fresh)
    if first is not None and second is not None:
        yield from _array_differences(first, second, where)
    elif isinstance(stored, str) and isinstance(fresh, str):
        for old, new in zip_longest(stored.split("\n"), fresh.split("\n")):
            if old is None or new is None or not _same_line(old, new):
                yield f"{where}: stored {old!r}, now {new!r}"
    elif isinstance(stored, dict) and isinstance(fresh, dict):
        if stored.keys() != fresh.keys():
            yield f"{where}: only stored {sorted(stored.keys() - fresh)}, only now {sorted(fresh.keys() - stored)}"
        for key in stored:
            yield from _differences(stored[key], fresh[key], f"{where}.{key}")
    elif isinstance(stored, list) and isinstance(fresh, list):
        if len(stored) != len(fresh):
            yield f"{where}: {len(stored)} items stored, now {len(fresh)}"
        for i, (old, new) in enumerate(zip(stored, fresh, strict=True)):
            yield from _differences(old, new, f"{where}[{i}]")
    elif type(stored) is not type(fresh) or stored != fresh:
        yield f"{where}: stored {stored!r}, now {fresh!r}"


def _array_differences(stored: np.ndarray, fresh: np.ndarray, where: str) -> Iterator[str]:
    if (stored.dtype, stored.shape) != (fresh.dtype, fresh.shape):
        yield f"{where}: stored {stored.dtype}{list(stored.shape)}, now {fresh.dtype}{list(fresh.shape)}"
        return
    tolerance = 0.0
    if stored.dtype.kind == "f":
        tolerance = RELATIVE * np.max(np.abs(stored), where=np.isfinite(stored), initial=0) + ABSOLUTE
    close = np.isclose(fresh, stored, rtol=0, atol=tolerance, equal_nan=True)
    for index in np.argwhere(~close):
        place = where + "".join(f"[{i}]" for i in index)
        yield f"{place}: stored {stored[*index]}, now {fresh[*index]}, tolerance {tolerance:.2g}"


def _same_line(stored: str, fresh: str) -> bool:
    """Compare two lines; splitting leaves the numbers, each with the spaces before it, at odd positions."""
    first, second = NUMBER.split(stored), NUMBER.split(fresh)
    return len(first) == len(second) and all(
        _same_number(old, new) if i % 2 else old == new for i, (old, new) in enumerate(zip(first, second, strict=True))
    )


def _same_number(stored: str, fresh: str) -> bool:
    first, second = stored.lstrip(), fresh.lstrip()
    aligned = len(stored) == len(fresh) or len(stored) - len(first) == len(fresh) - len(second)
    if not aligned or _form(first) != _form(second):
        return False
    if "." not in first:
        return first == second
    old, new = Decimal(first), Decimal(second)
    unit = Decimal(1).scaleb(max(old.as_tuple().exponent, new.as_tuple().exponent))
    return abs(old - new) <= min(unit, PRINTED * max(abs(old), abs(new)))


def _form(number: str) -> tuple[int, bool]:
    """Count the decimals of a printed number and say whether it has an exponent."""
    mantissa, exponent, _ = number.lower().partition("e")
    return len(mantissa.partition(".")[2]), bool(exponent)
