#!/usr/bin/env python3
"""Times training steps of a BERT that is written for speed in plain PyTorch: what `bench step` is compared with.

The work of Dropforge's dense step, without the clipping of gradients: packed qkv, scaled_dot_product_attention, MLM head at masked positions only,
dropout 0.1, autocast for bf16, fused AdamW. Prints one JSON object. Needs torch, which Dropforge does not.

Usage: benchmarks/lean_pytorch.py [--model bert-mini] [--batch 32] [--sequence 128] [--precision f32] [--steps 8]
                                  [--device cpu] [--threads N] [--compile]
"""
import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

SHAPES = {  # hidden, layers, heads
    "bert-tiny": (128, 2, 2),
    "bert-mini": (256, 4, 4),
    "bert-small": (512, 4, 8),
    "bert-medium": (512, 8, 8),
    "bert-base": (768, 12, 12),
    "bert-large": (1024, 24, 16),
}
VOCABULARY, POSITIONS, DROPOUT = 30522, 512, 0.1


class Parameters:
    """Tensors by the order in which they are asked for; the second pass over a model gets those of the first."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.tensors: list[Tensor] = []
        self.next = 0

    def rewind(self) -> None:
        self.next = 0

    def get(self, *shape: int, value: float | None = None) -> Tensor:
        if self.next == len(self.tensors):
            made = torch.randn(shape) * 0.02 if value is None else torch.full(shape, value)
            self.tensors.append(made.to(self.device).requires_grad_())
        self.next += 1
        return self.tensors[self.next - 1]


def linear(p: Parameters, x: Tensor, out: int) -> Tensor:
    return F.linear(x, p.get(out, x.shape[-1]), p.get(out, value=0.0))


def norm(p: Parameters, x: Tensor) -> Tensor:
    h = x.shape[-1]
    return F.layer_norm(x, (h,), p.get(h, value=1.0), p.get(h, value=0.0), eps=1e-12)


def layer(p: Parameters, x: Tensor, heads: int) -> Tensor:
    b, s, h = x.shape
    q, k, v = linear(p, x, 3 * h).view(b, s, 3, heads, h // heads).permute(2, 0, 3, 1, 4)
    attended = F.scaled_dot_product_attention(q, k, v, dropout_p=DROPOUT).transpose(1, 2).reshape(b, s, h)
    x = norm(p, x + F.dropout(linear(p, attended, h), DROPOUT))
    return norm(p, x + F.dropout(linear(p, F.gelu(linear(p, x, 4 * h)), h), DROPOUT))


def loss_of(p: Parameters, shape: tuple[int, int, int], ids: Tensor, masked: Tensor, labels: Tensor) -> Tensor:
    h, layers, heads = shape
    p.rewind()
    words = p.get(VOCABULARY, h)
    x = F.embedding(ids, words) + p.get(POSITIONS, h)[: ids.shape[1]] + p.get(2, h)[0]
    x = F.dropout(norm(p, x), DROPOUT)
    for _ in range(layers):
        x = layer(p, x, heads)
    rows = x.gather(1, masked[..., None].expand(-1, -1, h)).reshape(-1, h)
    rows = norm(p, F.gelu(linear(p, rows, h)))
    logits = F.linear(rows, words, p.get(VOCABULARY, value=0.0))
    return F.cross_entropy(logits.float(), labels.reshape(-1))


def seconds_of(step: Callable[[], None], device: str, steps: int) -> list[float]:
    """After two steps that choose algorithms and compile."""
    times = []
    for _ in range(steps + 2):
        start = time.perf_counter()
        step()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return times[2:]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Times training steps of a lean BERT in PyTorch.")
    parser.add_argument("--model", choices=SHAPES, default="bert-mini")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--sequence", type=int, default=128)
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--compile", action="store_true")
    return parser.parse_args()


def main() -> None:
    o = options()
    torch.manual_seed(0)
    torch.set_num_threads(o.threads)
    count = max(1, round(0.15 * o.sequence))
    ids = torch.randint(VOCABULARY, (o.batch, o.sequence)).to(o.device)
    masked = torch.stack([torch.randperm(o.sequence)[:count].sort().values for _ in range(o.batch)]).to(o.device)
    labels = torch.randint(VOCABULARY, (o.batch, count)).to(o.device)
    parameters = Parameters(o.device)
    loss_of(parameters, SHAPES[o.model], ids[:1], masked[:1], labels[:1])  # makes them
    optimizer = torch.optim.AdamW(parameters.tensors, lr=1e-4, weight_decay=0.01, fused=True)
    compute = torch.compile(loss_of) if o.compile else loss_of

    def step() -> None:
        with torch.autocast(o.device, dtype=torch.bfloat16, enabled=o.precision == "bf16"):
            loss = compute(parameters, SHAPES[o.model], ids, masked, labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    ms = [1000 * seconds for seconds in seconds_of(step, o.device, o.steps)]
    result = {
        "program": "PyTorch compiled" if o.compile else "PyTorch",
        "torch": torch.__version__,
        "model": o.model,
        "precision": o.precision,
        "batch": o.batch,
        "sequence": o.sequence,
        "threads": o.threads,
        "sequences_per_second": 1000 * o.batch / statistics.median(ms),
        "ms_min": min(ms),
        "ms_median": statistics.median(ms),
        "ms_max": max(ms),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
