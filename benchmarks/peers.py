"""Training in PyTorch, to compare with: run by the environment of `make bench-peers`, one request per line of stdin.

`plain` is the loop of public notebooks: all models side by side, (batch, models, features), samples of their own, two
products by einsum. `compiled` is the best that we could write: features as rows, one stream for all models, as toylib
has it, torch.compile over draw and loss, and fused Adam. Both minimise the same loss, summed over features and models
and averaged over the batch, with Adam without decay.

A request is a JSON object: mode, sizes (n_features, n_hidden, set_size, densities, models, batch), steps, seed, and the
files with the initial W and b and for the final ones. The answer is a line with the seconds that the steps took.
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


def main() -> None:
    """Answer requests until stdin ends."""
    torch.set_num_threads(int(sys.argv[1]))
    loops: dict[str, Loop] = {}
    print(json.dumps({"torch": torch.__version__}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        name = json.dumps([request["mode"], request["sizes"]])
        if name not in loops:
            loops[name] = Loop(request["mode"], request["sizes"])
            loops[name].steps(3)
        loop = loops[name]
        with np.load(request["start"]) as start:  # W (models, m, n), b (models, n)
            loop.begin(torch.tensor(start["W"]).transpose(1, 2), torch.tensor(start["b"]), request["seed"])
        took = loop.steps(request["steps"])
        if request.get("end"):
            np.savez(request["end"], W=loop.W.detach().transpose(1, 2).numpy(), b=loop.b.detach().numpy())
        print(json.dumps({"seconds": took}), flush=True)


if __name__ == "__main__":
    main()
