"""Programs that tests/sweeps/test_faults.py starts and kills: a sweep, and a cluster for it to run on.

python faulty.py sweep STORE LOG WHERE NUMBER [ADDRESS]   kills itself WHERE at batch NUMBER, unless WHERE is "never"
python faulty.py cluster                                  prints address and worker ids; ends with its input
"""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

BATCH, SECONDS = 6, 0.03
GRID = {"name": ["α", "beta"], "seed": range(12), "S": ([0.5, 0.75, 0.9], {"units": "1"})}  # 12 batches of 6


def results(name, seed, S, *, log, seconds):
    """Some arithmetic without rounding that depends on the batch; each call writes its first point to the log."""
    with Path(log).open("a") as file:
        file.write(f"{name[0]},{seed[0]}\n")
    time.sleep(seconds)
    value = np.sqrt(seed + 1) * S
    return {
        "value": ((), value, {"units": "m"}),
        "pairs": (("step", "side"), value[:, None, None] * np.ones((3, 2), np.float32).cumsum(0)),
        "word": np.char.add(name, seed.astype(str)),
        "diverged": (seed == 5) & (S > 0.8),
    }


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at(store, where, number):
    """Have the process killed after computing, writing or marking the batch that comes as `number`-th."""
    original = getattr(store.Store, {"computed": "_write_data"}.get(where, "_write_mark"))

    def killing(self, batch, outcome):
        last = len(self.marks) == number
        if where != "marked" and last:
            die()
        original(self, batch, outcome)
        if where == "marked" and last:
            die()

    setattr(store.Store, original.__name__, killing)


def sweep(path, log, where, number, address=None):
    from toylib.sweeps import _run as sweeps
    from toylib.sweeps import _store as store

    if where != "never":
        kill_at(store, where, int(number))
    fixed = {"batch": BATCH, "store": path, "progress": False, "log": log, "seconds": SECONDS}
    print("ready", flush=True)
    if address is None:
        sweeps.run(results, GRID, **fixed)
        return
    from distributed import Client

    with Client(address) as client:
        sweeps.run(results, GRID, executor=client.get_executor(), in_flight=4, **fixed)


def cluster():
    from distributed import Client, LocalCluster

    options = {"n_workers": 2, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": None}
    with LocalCluster(processes=True, **options) as local, Client(local) as client:
        client.wait_for_workers(2)
        print(local.scheduler_address, *client.run(os.getpid).values(), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    import faulty  # so that functions have the name by which the workers, and the tests, import them

    getattr(faulty, sys.argv[1])(*sys.argv[2:])
