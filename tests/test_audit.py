"""`make audit` against a source on this machine: what it finds, and that silence is never taken for safety."""

import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import audit
import pytest

LOCK = """absl-py==2.5.1 \\
    --hash=sha256:00
jax==0.10.2 ; python_full_version < '3.15' \\
    --hash=sha256:11
zarr==3.1.0
"""


@contextmanager
def source(*answers):
    """Serve answers, one a request, (status, body); give its address and the list of what was asked."""
    left, asked = [*answers], []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            status, body = left.pop(0)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/querybatch", asked
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def lock(tmp_path):
    path = tmp_path / "requirements.lock"
    path.write_text(LOCK)
    return path


def test_every_package_is_asked_for_and_none_is_found(lock, capsys):
    with source((200, {"results": [{}, {}, {}]})) as (address, asked):
        assert audit.main(address, lock) == 0
    assert (
        capsys.readouterr().out == f"{address} knows of advisories for none of the 3 packages of requirements.lock.\n"
    )
    pairs = [("absl-py", "2.5.1"), ("jax", "0.10.2"), ("zarr", "3.1.0")]
    packages = [{"package": {"ecosystem": "PyPI", "name": name}, "version": version} for name, version in pairs]
    assert asked == [{"queries": packages}]


def test_what_is_found_is_named_on_every_page(lock, capsys):
    first = [{}, {"vulns": [{"id": "PYSEC-2"}], "next_page_token": "p2"}, {"next_page_token": "p3"}]
    second = [{"vulns": [{"id": "GHSA-1"}]}, {"vulns": [{"id": "PYSEC-3"}]}]
    with source((200, {"results": first}), (200, {"results": second})) as (address, asked):
        assert audit.main(address, lock) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[:2] == ["jax 0.10.2: GHSA-1, PYSEC-2", "zarr 3.1.0: PYSEC-3"]
    assert out[2].startswith(f"{address} knows of advisories for 2 of the 3 packages")
    assert [(query["package"]["name"], query["page_token"]) for query in asked[1]["queries"]] == [
        ("jax", "p2"),
        ("zarr", "p3"),
    ]


@pytest.mark.parametrize(
    "answers",
    [
        [(500, {"results": [{}, {}, {}]})],
        [(200, b"<html>sign in</html>")],
        [(200, [])],
        [(200, {"results": [{}, {}]})],
        [(200, {"results": [{}, None, {}]})],
        [(200, {"results": {"a": 1, "b": 2, "c": 3}})],
        [(200, {"results": [{"vulns": [{}]}, {}, {}]})],
        [(200, {"results": [{"next_page_token": "p"}, {}, {}]}), (503, b"")],
        [
            (200, {"results": [{"next_page_token": "p"}, {}, {}]}),
            *[(200, {"results": [{"next_page_token": "p"}]})] * 30,
        ],
    ],
    ids=lambda answers: str(answers[-1])[:30],
)
def test_no_answer_is_not_none_found(answers, lock, capsys):
    with source(*answers) as (address, _):
        assert audit.main(address, lock) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"requirements.lock is not checked: {address} gave no answer that can be read (")
    assert "That says nothing about its packages" in said.err


def test_nobody_there_is_not_none_found(lock, capsys):
    with source() as (address, _):
        pass
    assert audit.main(address, lock) == 2
    assert audit.main("no address", lock) == 2
    assert capsys.readouterr().out == ""


def test_the_lock_is_read_whole():
    text = audit.LOCK.read_text(encoding="utf-8")
    assert len(audit.locked(text)) == text.count("==") - text.count(" == '") > 100
    with pytest.raises(ValueError, match="a lock must pin packages, got none; `make lock` makes it"):
        audit.locked("# nothing\n")
