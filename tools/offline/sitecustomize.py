"""Python without a network: what has this folder on PYTHONPATH reaches this machine only. The strict check runs so.

Python imports this file when it starts, in processes that a notebook starts too. What is not written in Python, such as
JAX's own connections, does not ask it.
"""

import os
import sys

HERE = ("", "localhost", "::1", "0.0.0.0", os.uname().nodename)


def refuse(event: str, arguments: tuple) -> None:
    """Raise OSError where a name is looked up or a connection made that leads elsewhere; an audit hook."""
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg") and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:  # of sockets of this machine the address is a path
        return
    name = host.decode() if isinstance(host, bytes) else host or ""
    if name not in HERE and not name.startswith("127."):
        raise OSError(f"notebooks must run without a network, got {name!r}; store what it gives in notebooks/results")


sys.addaudithook(refuse)
