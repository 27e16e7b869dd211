"""The processes that torchrun started: the few calls to torch.distributed, and nothing where there is but one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import Tensor

from ugodit.errors import ElsewhereError, InputError
from ugodit.fit.exchange import Alone
from ugodit.reconstruction.launcher import number, place_among_processes

WAIT = timedelta(hours=2)
"""How long a process waits for another, which may have more to read. That one has ended is heard at once."""
GONE = "another of the processes that train this group has ended; its own message says why"


def launched() -> bool:
    """Whether torchrun started this process, beside others."""
    return place_among_processes()[1] > 1


class GoneError(InputError):
    """A process of the group has ended."""


class Group(Alone):
    """This process among those that train one group together; a group of one by default."""

    @contextmanager
    def together(self) -> Iterator[None]:
        """A part that fails in all processes where it fails in one with an InputError; the first process has its text,
        and all others raise ElsewhereError."""
        error: InputError | None = None
        try:
            yield
        except (ElsewhereError, GoneError):
            raise
        except InputError as found:
            error = found
        said = [part.decode() for part in self.gather(str(error).encode() if error else b"")]
        for text in filter(None, said):
            raise InputError(text) if self.rank == 0 else ElsewhereError(text) from error

    def gather(self, content: bytes) -> list[bytes]:
        """What each process gives, in their order, on all of them. InputError where one of them is gone."""
        return [content]


class TorchGroup(Group):
    """Processes that talk through torch.distributed."""

    def __init__(self, rank: int, ranks: int, device: torch.device) -> None:
        self.rank, self.ranks, self.device = rank, ranks, device

    def sum(self, tensors: Sequence[Tensor]) -> None:
        try:
            for tensor in tensors:
                torch.distributed.all_reduce(tensor)
        except RuntimeError as error:
            raise GoneError(GONE) from error

    def hand_on(self, tensor: Tensor, source: int) -> None:
        there = tensor.to(self.device)
        try:
            torch.distributed.broadcast(there, source)
        except RuntimeError as error:
            raise GoneError(GONE) from error
        tensor.copy_(there)

    def gather(self, content: bytes) -> list[bytes]:
        lengths = torch.zeros(self.ranks, dtype=torch.int64, device=self.device)
        lengths[self.rank] = len(content)
        self.sum([lengths])
        longest = max(int(lengths.max()), 1)
        mine = torch.zeros(longest, dtype=torch.uint8)
        mine[: len(content)] = torch.frombuffer(bytearray(content), dtype=torch.uint8) if content else mine[:0]
        every = [torch.empty(longest, dtype=torch.uint8, device=self.device) for _ in range(self.ranks)]
        try:
            torch.distributed.all_gather(every, mine.to(self.device))
        except RuntimeError as error:
            raise GoneError(GONE) from error
        return [bytes(one[:length].cpu().numpy()) for one, length in zip(every, lengths.tolist(), strict=True)]


@contextmanager
def process_group(device: torch.device) -> Iterator[Group]:
    """The group that torchrun made of this process and others; gloo between CPUs, nccl between GPUs."""
    if not launched():
        yield Group()
        return
    local = number(os.environ, "LOCAL_RANK", 0)
    if device.type == "cuda":
        if device.index != local:
            raise InputError(
                f"`device`: expected a GPU for each process of a machine, got {torch.cuda.device_count()} GPUs and "
                f"device {device} for process {local}; start fewer processes, or use `device` cpu"
            )
        torch.cuda.set_device(device)
    try:
        torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=WAIT)
    except RuntimeError as error:
        raise GoneError(GONE) from error
    except ValueError as error:
        raise InputError(f"the environment is not torchrun's ({error}); start it with torchrun") from error
    yield TorchGroup(torch.distributed.get_rank(), torch.distributed.get_world_size(), device)
    # Not after a failure: it might wait for a process that is gone.
    torch.distributed.destroy_process_group()
