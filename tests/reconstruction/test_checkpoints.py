"""Which checkpoint belongs to a training, and what is said of it after an interruption."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from small_priors import quick

from ugodit.errors import InputError
from ugodit.fit.checkpoint import LoopState
from ugodit.fit.fit import Step
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


def found(path: Path, resume: bool, **options: int) -> tuple[LoopState | None, list[str]]:
    listener = Listener()
    return Checkpoints(path, "mine", 5, Group(), listener, **options).find(resume), listener.said


@pytest.mark.parametrize("resume", [False, True])
def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, resume: bool) -> None:
    path = tmp_path / "c"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # No memory holds it.
    state, said = found(path, resume, limit=1000)
    assert state is None
    assert said == [f"{path}: expected a checkpoint of at most 1000 bytes, got more; beginning anew"]
    assert said_after_an_interruption(path, "mine") == []


def test_a_state_after_the_last_step_is_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "c"
    LoopState(15, {"weight": torch.zeros(2)}, {"own_decoders": False, "seconds": 1.0}).save(path, "mine")
    assert found(path, True, steps=15) == (None, [f"{path}: is of step 15 of 15; beginning anew"])
    state, said = found(path, True, steps=16)
    assert state is not None
    assert said == ["going on from step 15"]


def test_what_is_wrong_with_a_state_is_said_with_its_file(tmp_path: Path) -> None:
    def broken() -> Iterator[Step]:
        raise InputError("generator: not in the checkpoint")
        yield

    path = tmp_path / "c"
    LoopState(15, {"weight": torch.zeros(2)}, {"own_decoders": False, "seconds": 1.0}).save(path, "mine")
    keeper = Checkpoints(path, "mine", 5, Group(), Listener())
    assert keeper.find(True) is not None
    with pytest.raises(InputError, match=r"c: generator: not in the checkpoint; remove it to begin anew"):
        next(keeper.kept(broken()))


def test_a_checkpoint_of_another_device_or_torch_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    preset = quick("fast")
    cpu, gpu = (Training(preset, device=torch.device(name))._key([]) for name in ("cpu", "cuda"))
    assert cpu != gpu
    assert Training(preset, device="cpu")._key([]) == cpu
    monkeypatch.setattr(torch, "__version__", "0")
    assert Training(preset, device="cpu")._key([]) != cpu
