"""Training and an attack in PyTorch, to compare with: run in the environment of `make bench-peers` by `_peers.py`.

`plain` is the loop of public notebooks: all models side by side, (batch, models, features), samples of their own, two
products by einsum. `compiled` is the best that we could write: features as rows, one stream for all models, as toylib
has it, torch.compile over draw and loss, and fused Adam. Both minimise the same loss, summed over features and models
and averaged over the batch, with Adam without decay.

`Search` is `attacks.pgd` for many inputs at once, batched over starts and inputs: with the same starts, steps and
projection. Its gradient is taken by autograd; `Compiled` is the best that we could write.

A request is a line of JSON: what to do ("train" with mode, sizes, steps and seed, or "search" with mode, radius, steps,
restarts and seed), and the files with the arrays that it takes and for those that it makes. The answer is a line with
the seconds that it took.
"""

import json
import sys
import time

import numpy as np
import torch


class Loop:
    """All models of one size, and one step of their training."""

    def __init__(self, mode: str, sizes: dict) -> None:
        """Make a loop; `compiled` compiles at its first step."""
        self.n, self.batch, self.set_size = sizes["n_features"], sizes["batch"], sizes["set_size"]
        self.gates = self.n // self.set_size
        self.p = torch.tensor(np.repeat(np.float32(sizes["densities"]), sizes["models"]))
        self.gram = self.n <= 2 * sizes["n_hidden"]
        count = len(self.p)
        self.W = torch.nn.Parameter(torch.zeros(count, self.n, sizes["n_hidden"]))
        self.b = torch.nn.Parameter(torch.zeros(count, self.n))
        self.fused = mode == "compiled"
        self.loss = torch.compile(self.shared_rows) if self.fused else self.side_by_side
        self.begin(self.W.data.clone(), self.b.data.clone(), 0)

    def begin(self, W: torch.Tensor, b: torch.Tensor, seed: int) -> None:
        """Set the models, and start a new stream and a new optimizer."""
        self.W.data.copy_(W)
        self.b.data.copy_(b)
        self.optimizer = torch.optim.Adam([self.W, self.b], lr=1e-3, fused=self.fused)
        torch.manual_seed(seed)

    def side_by_side(self, W: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """The loss as public notebooks write it."""
        with torch.no_grad():
            values = torch.rand(self.batch, len(b), self.n)
            on = torch.rand(self.batch, len(b), self.gates) < self.p[:, None]
            x = torch.where(on.repeat_interleave(self.set_size, -1) if self.set_size > 1 else on, values, 0.0)
        hidden = torch.einsum("bkn,knm->bkm", x, W)
        out = torch.relu(torch.einsum("bkm,knm->bkn", hidden, W) + b)
        return (x - out).square().sum(2).mean(0).sum()

    def shared_rows(self, W: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """The loss with features as rows and one stream."""
        gates, values = torch.rand(self.gates, self.batch), torch.rand(self.n, self.batch)
        gates = gates.repeat_interleave(self.set_size, 0) if self.set_size > 1 else gates
        x = torch.where(gates[None] < self.p[:, None, None], values[None], 0.0)
        z = torch.bmm(W @ W.transpose(1, 2), x) if self.gram else torch.bmm(W, torch.bmm(W.transpose(1, 2), x))
        return (x - torch.relu(z + b[:, :, None])).square().sum(1).mean(1).sum()

    def steps(self, number: int) -> float:
        """Take so many steps; seconds."""
        start = time.perf_counter()
        for _ in range(number):
            self.optimizer.zero_grad(set_to_none=True)
            self.loss(self.W, self.b).backward()
            self.optimizer.step()
        return time.perf_counter() - start


class Search:
    """Projected gradient ascent on the error of a model, for all inputs at once, with a gradient taken by autograd."""

    def begin(self, W: torch.Tensor, b: torch.Tensor, radius: float) -> None:
        """Take a model, W (m, n), and the norm of the attacks."""
        self.W, self.b, self.radius = W, b, radius
        self.G = W.T @ W

    def starts(self, x: torch.Tensor, slope: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
        """Nothing, random directions, the gradient, and the most harmful feature with either sign, (starts, N, n)."""
        pre = (x @ self.W.T) @ self.W + self.b
        pushes = self.radius * unit(self.G)
        up, down = ((torch.relu(pre[:, None] + s * pushes) - x[:, None]).square().sum(-1) for s in (1, -1))
        feature = torch.maximum(up, down).argmax(1)
        sign = torch.where(up.gather(1, feature[:, None]) >= down.gather(1, feature[:, None]), 1.0, -1.0)
        analytic = sign * unit(self.G)[feature]
        return torch.cat([0 * x[None], drawn.expand(-1, *x.shape), unit(slope)[None], analytic[None]])

    def run(self, x: torch.Tensor, steps: int, drawn: torch.Tensor) -> torch.Tensor:
        """The best attack found on each input x (N, n), with the random starts `drawn` (restarts, 1, n)."""

        def look(q: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            q = q.detach().requires_grad_(True)
            out = torch.relu(((x + self.radius * q) @ self.W.T) @ self.W + self.b)
            error = (out - x).square().sum(-1)
            (slope,) = torch.autograd.grad(error.sum(), q)
            return error.detach(), slope

        q = self.starts(x, look(torch.zeros_like(x))[1], drawn)
        highest, slope = look(q)
        best = q
        for t in range(steps):
            q = q + 2 * (1 - t / steps) * unit(slope)
            q = q / torch.linalg.vector_norm(q, dim=-1, keepdim=True).clamp_min(1.0)
            error, slope = look(q)
            best, highest = torch.where((error > highest)[..., None], q, best), torch.maximum(highest, error)
        return self.radius * chosen(best, highest.argmax(0))


class Compiled(Search):
    """The same search as fast as we could write it.

    In the coordinates that the model sees, as toylib has it, with a gradient written out and torch.compile, and of so
    many inputs at a time that they stay in the cache.
    """

    together = 250

    def __init__(self) -> None:
        """Make a search, which compiles when it first runs."""
        self.enter, self.step = torch.compile(self._enter), torch.compile(self._step)

    def begin(self, W: torch.Tensor, b: torch.Tensor, radius: float) -> None:
        """Take a model, and find those coordinates."""
        super().begin(W, b, radius)
        self.axes, factor = torch.linalg.qr(W.T)
        self.pushes = torch.cat([radius * (factor @ W), torch.zeros(1, W.shape[1])])

    def look(self, x: torch.Tensor, z: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Errors and their slopes at y (starts, N, k + 1), of inputs with the pre-activations z."""
        pre = z + y @ self.pushes
        off = torch.relu(pre) - x
        return off.square().sum(-1), torch.where(pre > 0, 2 * off, 0.0) @ self.pushes.T

    def _enter(self, x: torch.Tensor, drawn: torch.Tensor) -> tuple:
        """Pre-activations, the starts in those coordinates, what is not in them, and errors and slopes there."""
        z = (x @ self.W.T) @ self.W + self.b
        slope = self.look(x, z, torch.zeros(len(x), len(self.pushes)))[1][:, :-1] @ self.axes.T
        q = self.starts(x, slope, drawn)
        along = q @ self.axes
        rest = q - along @ self.axes.T
        y = torch.cat([along, torch.linalg.vector_norm(rest, dim=-1, keepdim=True)], -1)
        return z, y, rest, *self.look(x, z, y)

    def _step(self, x: torch.Tensor, z: torch.Tensor, size: torch.Tensor, *state: torch.Tensor) -> tuple:
        y, highest, slope, best = state
        y = y + size * slope * torch.rsqrt(slope.square().sum(-1, keepdim=True).clamp_min(1e-30))
        y = y * torch.rsqrt(y.square().sum(-1, keepdim=True).clamp_min(1.0))
        error, slope = self.look(x, z, y)
        return y, torch.maximum(highest, error), slope, torch.where((error > highest)[..., None], y, best)

    @torch.no_grad()
    def run(self, x: torch.Tensor, steps: int, drawn: torch.Tensor) -> torch.Tensor:
        """As `Search.run`, some inputs at a time."""
        sizes = 2 * (1 - torch.arange(steps) / steps)
        found = []
        for part in x.split(self.together):
            z, y, rest, highest, slope = self.enter(part, drawn)
            best = y
            for size in sizes:
                y, highest, slope, best = self.step(part, z, size, y, highest, slope, best)
            index = highest.argmax(0)
            ends = chosen(best, index)
            found.append(ends[:, :-1] @ self.axes.T + ends[:, -1:] * unit(chosen(rest, index)))
        return self.radius * torch.cat(found)


def chosen(v: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Of v (starts, N, ...) the start of this index (N,) for each input."""
    return v[index, torch.arange(len(index))]


def unit(v: torch.Tensor) -> torch.Tensor:
    """Vectors of length 1, or 0 where there is no direction."""
    return v / torch.linalg.vector_norm(v, dim=-1, keepdim=True).clamp_min(1e-30)


def train(
    request: dict, start: dict[str, torch.Tensor], loops: dict[str, Loop]
) -> tuple[float, dict[str, torch.Tensor]]:
    """Train the models W (models, m, n), b (models, n)."""
    name = json.dumps([request["mode"], request["sizes"]])
    if name not in loops:
        loops[name] = Loop(request["mode"], request["sizes"])
        loops[name].steps(3)
    loop = loops[name]
    loop.begin(start["W"].transpose(1, 2), start["b"], request["seed"])
    return loop.steps(request["steps"]), {"W": loop.W.detach().transpose(1, 2), "b": loop.b.detach()}


def search(request: dict, start: dict[str, torch.Tensor], searches: dict[str, Search]) -> tuple[float, dict]:
    """Attack the inputs x (N, n) of a model W (m, n), b (n,)."""
    mode = request["mode"]
    new = mode not in searches
    found = searches.setdefault(mode, Compiled() if mode == "compiled" else Search())

    def run() -> torch.Tensor:
        found.begin(start["W"], start["b"], request["radius"])
        return found.run(start["x"], request["steps"], unit(torch.randn(request["restarts"], 1, start["x"].shape[1])))

    torch.manual_seed(request["seed"])
    if new:
        run()  # compiles
    begin = time.perf_counter()
    delta = run()
    return time.perf_counter() - begin, {"delta": delta}


def main() -> None:
    """Answer requests until stdin ends."""
    torch.set_num_threads(int(sys.argv[1]))
    print(json.dumps({"torch": torch.__version__}), flush=True)
    kept: dict[str, dict] = {"train": {}, "search": {}}
    for line in sys.stdin:
        request = json.loads(line)
        with np.load(request["start"]) as arrays:
            start = {name: torch.tensor(array) for name, array in arrays.items()}
        do = {"train": train, "search": search}[request["do"]]
        took, end = do(request, start, kept[request["do"]])
        np.savez(request["end"], **{name: array.numpy() for name, array in end.items()})
        print(json.dumps({"seconds": took}), flush=True)


if __name__ == "__main__":
    main()
