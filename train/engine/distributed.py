"""Ranks, read from torchrun's environment variables; a single process is a world of size one."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from train.engine.signals import Stopped
from train.networks.weights import first_line

ARRIVAL = timedelta(minutes=5)  #: for ranks to start: all may import PyTorch from one slow disk


@dataclass(frozen=True)
class World:
    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is rank 0, the one that prints and writes."""
        return self.rank == 0

    def sum(self, values: list[float]) -> list[float]:
        """Sum of every number over all ranks, in float64."""
        if self.size == 1:
            return values
        total = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(total)
        return total.tolist()

    def maximum(self, values: list[float]) -> list[float]:
        """The largest of every number over all ranks."""
        if self.size == 1:
            return values
        largest = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(largest, dist.ReduceOp.MAX)
        return largest.tolist()

    def gather(self, item: object) -> list:
        """``item`` of every rank, on rank 0; an empty list elsewhere."""
        if self.size == 1:
            return [item]
        items: list[Any] | None = [None] * self.size if self.first else None
        dist.gather_object(item, items)
        return items or []

    def broadcast(self, module: torch.nn.Module) -> None:
        """Give every rank the buffers (running statistics) of rank 0."""
        if self.size > 1:
            for buffer in module.buffers():
                dist.broadcast(buffer, 0)

    def wait(self) -> None:
        if self.size > 1:
            dist.barrier()


def device_of(name: str, local_rank: int) -> torch.device:
    """``auto``, ``cpu`` or ``cuda`` as a device of this rank. Raises ValueError when there is no such GPU."""
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ValueError("--device cuda: PyTorch finds no GPU here; use --device cpu")
    if local_rank >= torch.cuda.device_count():
        raise ValueError(f"local rank {local_rank}, but only {torch.cuda.device_count()} GPUs: start fewer ranks")
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


def keep_freed_memory() -> None:
    """Let this process use freed memory again instead of returning it to the system, where glibc manages it.

    On a CPU every layer's activations are allocated anew in every step. glibc returns each large block at once, so
    that the system has to clear the same pages again: a fifth of the time of an evaluation.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        trim_threshold, mmap_max = -1, -4  # numbers of malloc.h
        library.mallopt(mmap_max, 0)
        library.mallopt(trim_threshold, -1)  # never


@contextmanager
def world(device: str = "auto") -> Iterator[World]:
    """Join the other ranks, if torchrun started any: nccl between GPUs, gloo between CPUs.

    Raises OSError when ranks do not arrive, or are lost.
    """
    rank, count, local = (int(os.environ.get(name, default)) for name, default in
                          (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0)))  # fmt: skip
    where = device_of(device, local)
    if where.type == "cpu":
        keep_freed_memory()
    if count == 1:
        yield World(0, 1, where)
        return
    try:
        store = _meet(rank, count)
        # Small control messages stay on the CPU (gloo): they must not make the GPU wait.
        backend = "cpu:gloo,cuda:nccl" if where.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=count)
        yield World(rank, count, where)
    except Stopped as stop:
        if stop.together:
            dist.destroy_process_group()
        raise
    except (dist.DistError, RuntimeError) as error:
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        raise OSError(
            f"rank {rank} lost the others ({first_line(error)}); see the output of the rank that ended first"
        ) from error
    # After an error, skip the orderly shutdown: peers that hang would block it forever.
    dist.destroy_process_group()


def _meet(rank: int, count: int) -> dist.Store:
    """Wait until all ranks have started. Raises OSError naming those that have not."""
    try:
        store, *_ = next(dist.rendezvous("env://", timeout=ARRIVAL))
    except dist.DistError as error:
        address = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        raise OSError(f"rank {rank} cannot reach the others at {address} ({first_line(error)})") from None
    store.set(f"arrived/{rank}", "")
    try:
        store.wait([f"arrived/{other}" for other in range(count)], ARRIVAL)
    except dist.DistError:
        missing = [other for other in range(count) if not store.check([f"arrived/{other}"])]
        raise OSError(
            f"rank {rank} waited {ARRIVAL} for ranks {missing}, which did not arrive: have their nodes failed?"
        ) from None
    return store
