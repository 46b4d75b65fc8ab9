"""What is kept of compiled programs for `make lab`: of what size, and nothing that JAX cannot read."""

import os
import sys
import zlib
from pathlib import Path

import compiled
import pytest
from programs import printed

WHOLE = zlib.compress(bytes(range(200)))


def entries(folder, **contents):
    """Write entries, each read a minute after the one before it, long ago."""
    for minute, (name, content) in enumerate(contents.items()):
        path = folder / f"jit_{name}-cache"
        path.write_bytes(content)
        os.utime(path, (60 * minute, path.stat().st_mtime))


def left(folder):
    return sorted(path.name.removeprefix("jit_").removesuffix("-cache") for path in folder.glob("*-cache"))


def test_what_was_cut_short_goes_and_what_is_whole_stays(tmp_path):
    folder = tmp_path / "deep" / "lab"
    compiled.tidy(folder)  # makes it
    entries(folder, whole=WHOLE, short=WHOLE[:-1], shorter=WHOLE[:9], empty=b"", of_another_kind=b"\x28\xb5\x2f\xfd")
    compiled.tidy(folder)
    assert left(folder) == ["of_another_kind", "whole"]


def test_what_was_not_read_for_longest_goes_first(tmp_path):
    entries(tmp_path, b=WHOLE, a=WHOLE, d=WHOLE, c=WHOLE)
    compiled.tidy(tmp_path, limit=2 * len(WHOLE))
    assert left(tmp_path) == ["c", "d"]


def test_a_folder_that_cannot_be_made_is_an_error_of_the_system(tmp_path):
    (tmp_path / "lab").write_text("")
    with pytest.raises(OSError, match="lab"):
        compiled.tidy(tmp_path / "lab")


def test_kernels_of_lab_keep_what_they_compile_and_this_process_does_not():
    code = "import os, sys; print(os.environ['JAX_COMPILATION_CACHE_DIR'], *sys.argv[1:], sep='\\n')"
    said = printed([sys.executable, compiled.__file__, "-c", code, "--no-browser"], cwd=Path(compiled.__file__).parent)
    assert said.splitlines() == [str(Path(sys.prefix) / "compiled" / "lab"), "--no-browser"]
    assert os.environ.get("JAX_COMPILATION_CACHE_DIR") != said.splitlines()[0]
