"""Which checkpoint belongs to a training, and what is said of it after an interruption."""

from pathlib import Path

import pytest
import torch
from small_priors import quick

from ugodit.fit.checkpoint import LoopState
from ugodit.reconstruction.checkpoints import Checkpoints
from ugodit.reconstruction.distributed import Group
from ugodit.reconstruction.observer import Observer
from ugodit.reconstruction.training import Training


class Listener(Observer):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def message(self, text: str) -> None:
        self.said.append(text)


def said_after_an_interruption(path: Path, key: str) -> list[str]:
    listener = Listener()
    Checkpoints(path, key, 5, Group(), listener).say_how_to_go_on()
    return listener.said


def test_the_file_itself_says_which_step_it_is_of(tmp_path: Path) -> None:
    """A signal may come when the file is written and nothing else knows of it yet."""
    path = tmp_path / "c"
    assert said_after_an_interruption(path, "mine") == []
    LoopState(15, {"weight": torch.zeros(2)}, {"own_decoders": False, "seconds": 1.0}).save(path, "mine")
    assert said_after_an_interruption(path, "mine") == [f"{path} is of step 15; --resume goes on from there"]
    assert said_after_an_interruption(path, "another's") == []
    path.write_bytes(path.read_bytes()[:-1])
    assert said_after_an_interruption(path, "mine") == []


def test_a_checkpoint_of_another_device_or_torch_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    preset = quick("fast")
    cpu, gpu = (Training(preset, device=torch.device(name))._key([]) for name in ("cpu", "cuda"))
    assert cpu != gpu
    assert Training(preset, device="cpu")._key([]) == cpu
    monkeypatch.setattr(torch, "__version__", "0")
    assert Training(preset, device="cpu")._key([]) != cpu
