"""Training and an attack in PyTorch, to compare with: run in the environment of `make bench-peers` by `_peers.py`.

`plain` is the loop of public notebooks: all models side by side, (batch, models, features), samples of their own, two
products by einsum. `compiled` is the best that we could write: features as rows, one stream for all models, as toylib
has it, torch.compile over draw and loss, and fused Adam. Both minimise the same loss, summed over features and models
and averaged over the batch, with Adam without decay.

`Search` is `attacks.pgd` for many inputs at once, batched over starts and inputs: with the same starts, steps and
projection. Its gradient is taken by autograd, or written out and compiled, which is the best that we could write.

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
    """Projected gradient ascent on the error of a model, for many inputs at once."""

    def __init__(self, mode: str) -> None:
        """Make a search; `compiled` compiles at its first step."""
        self.step = torch.compile(self.ascend) if mode == "compiled" else self.ascend
        self.slope = self.written_out if mode == "compiled" else self.by_autograd

    def begin(self, W: torch.Tensor, b: torch.Tensor, x: torch.Tensor, radius: float, seed: int) -> None:
        """Take a model, W (m, n), inputs (N, n) and the norm of their attacks."""
        self.W, self.b, self.x, self.radius = W, b, x, radius
        torch.manual_seed(seed)

    def error(self, delta: torch.Tensor) -> torch.Tensor:
        """Of attacks (..., N, n): ‖x - x̂(x + δ)‖², (..., N)."""
        out = torch.relu(((self.x + delta) @ self.W.T) @ self.W + self.b)
        return (out - self.x).square().sum(-1)

    def by_autograd(self, delta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Errors and their gradients."""
        delta = delta.detach().requires_grad_(True)
        error = self.error(delta)
        (gradient,) = torch.autograd.grad(error.sum(), delta)
        return error.detach(), gradient

    def written_out(self, delta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The same, without a tape."""
        pre = ((self.x + delta) @ self.W.T) @ self.W + self.b
        off = torch.relu(pre) - self.x
        return off.square().sum(-1), ((2 * off * (pre > 0)) @ self.W.T) @ self.W

    def ascend(
        self, q: torch.Tensor, slope: torch.Tensor, best: torch.Tensor, highest: torch.Tensor, size: torch.Tensor
    ):
        """A step of this size in units of the radius."""
        q = q + size * unit(slope)
        q = q / torch.linalg.vector_norm(q, dim=-1, keepdim=True).clamp_min(1.0)
        error, slope = self.slope(self.radius * q)
        better = error > highest
        return q, slope, torch.where(better[..., None], q, best), torch.maximum(highest, error)

    def starts(self, restarts: int) -> torch.Tensor:
        """Nothing, random directions, the gradient, and the most harmful feature with either sign, (starts, N, n)."""
        zero = torch.zeros(1, *self.x.shape)
        pre = (self.x @ self.W.T) @ self.W + self.b
        pushed = [torch.relu(pre[:, None] + s * self.radius * (self.W.T @ self.W)) - self.x[:, None] for s in (1, -1)]
        up, down = (each.square().sum(-1) for each in pushed)
        feature = torch.maximum(up, down).argmax(1, keepdim=True)
        sign = torch.where(up.gather(1, feature) >= down.gather(1, feature), 1.0, -1.0)
        one = zero[0].scatter(1, feature, sign)[None]
        return torch.cat([zero, unit(torch.randn(restarts, *self.x.shape)), unit(self.slope(zero)[1]), one])

    def run(self, steps: int, restarts: int) -> torch.Tensor:
        """The best attack found on each input, (N, n)."""
        q = self.starts(restarts)
        highest, slope = self.slope(self.radius * q)
        best = q
        for t in range(steps):
            q, slope, best, highest = self.step(q, slope, best, highest, torch.tensor(2 * (1 - t / steps)))
        index = highest.argmax(0)[None, :, None].expand(1, *self.x.shape)
        return self.radius * best.gather(0, index)[0]


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
    mode, sizes = request["mode"], (request["steps"], request["restarts"])
    new = mode not in searches
    found = searches.setdefault(mode, Search(mode))
    found.begin(start["W"], start["b"], start["x"], request["radius"], request["seed"])
    if new:
        found.run(*sizes)  # compiles
    begin = time.perf_counter()
    delta = found.run(*sizes)
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
