"""Prior: round trip, hash, and files that are no priors."""

import errno
import json
import os
import pickle

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from ugodit.errors import InputError
from ugodit.networks import GroupNet, NetworkConfig
from ugodit.priors.prior import FORMAT, Prior, provenance

CONFIG = NetworkConfig.unet(3, 2)


def trained(config=CONFIG, decoders=3, seed=1):
    origin = provenance(
        scans=[{"name": "knee_a.h5", "hash": "00ff"}], acceleration=4.0, seed=seed, scale="unit maximum", note="é"
    )
    return Prior.of(
        GroupNet(config, decoders, seed=seed),
        training={"steps": 10, "rate": 1e-3, "unrolls": [1, 2]},
        provenance=origin,
        extra={"mu": torch.tensor([0.05, 0.04]), "step": torch.tensor(0.5)},
    )


def contents(path):
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118


def refused(path, *words, network=None):
    with pytest.raises(InputError) as error:
        Prior.load(path, network)
    message = str(error.value)
    assert str(path) in message
    assert "\n" not in message
    for word in words:
        assert word in message
    return message


@pytest.mark.parametrize("config", [CONFIG, NetworkConfig.skip(4, 2, output="residual", normalisation="none")])
def test_round_trip(tmp_path, config):
    prior = trained(config)
    prior.save(tmp_path / "prior.safetensors")
    again = Prior.load(tmp_path / "prior.safetensors", config)
    assert again.network == config
    assert (again.training, again.provenance, again.decoders) == (prior.training, prior.provenance, 3)
    for part in ("encoder", "decoder", "extra"):
        before, after = getattr(prior, part), getattr(again, part)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)
    z = torch.randn(3, 2, 9, 11, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again.build()(z), GroupNet(config, 3, seed=1)(z))
    assert [path.name for path in tmp_path.iterdir()] == ["prior.safetensors"]


def test_holds_copies():
    group = GroupNet(CONFIG, 2)
    prior = Prior.of(group)
    before = prior.hash
    group.decoder.head.convolution.weight.data.add_(1)
    prior.build().encoder.levels[0][0].convolution.weight.data.add_(1)
    assert prior.hash == before


def test_build_warm_starts():
    prior = trained()
    z = torch.randn(4, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    group = GroupNet(CONFIG, 3, seed=1)
    assert torch.equal(prior.build(4, start=2)(z), group.warm_start(4, 2)(z))
    assert torch.equal(prior.build(4)(z), group.warm_start(4, "mean")(z))
    assert torch.equal(prior.build(4, start="fresh", seed=3)(z), group.warm_start(4, "fresh", seed=3)(z))


def test_hash(tmp_path):
    prior = trained()
    assert prior.hash == trained().hash
    for name in ("a", "b"):
        prior.save(tmp_path / name)
    assert Prior.load(tmp_path / "a").hash == Prior.load(tmp_path / "b").hash == prior.hash
    assert len(prior.hash) == 64
    assert prior.hash != trained(seed=2).hash
    group = GroupNet(CONFIG, 3, seed=1)
    hashes = {
        Prior.of(group).hash,
        Prior.of(group, training={"steps": 10}).hash,
        Prior.of(group, extra={"mu": torch.zeros(1)}).hash,
        Prior.of(group, extra={"mu": torch.ones(1)}).hash,
        Prior.of(group, extra={"nu": torch.ones(1)}).hash,
        Prior.of(GroupNet(NetworkConfig.unet(3, 2, activation="silu"), 3, seed=1)).hash,
    }
    assert len(hashes) == 6
    assert Prior.of(group, provenance={"date": "today"}).hash == Prior.of(group).hash


def test_save_replaces_whole_files_only(tmp_path, monkeypatch):
    path = tmp_path / "prior.safetensors"
    path.write_bytes(b"old")

    class Full:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, content):
            self.file.write(content[:100])
            raise OSError(errno.ENOSPC, "No space left on device")

    original = os.fdopen
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdopen", lambda *arguments: Full(original(*arguments)))
        with pytest.raises(InputError, match="No space left on device") as error:
            trained().save(path)
    assert str(path) in str(error.value)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    trained().save(path)
    assert Prior.load(path).decoders == 3


def test_save_to_nowhere(tmp_path):
    with pytest.raises(InputError, match="No such file or directory"):
        trained().save(tmp_path / "missing" / "prior.safetensors")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="folder"):
        trained().save(tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_missing_file_and_folder(tmp_path):
    refused(tmp_path / "none.safetensors", "No such file")
    refused(tmp_path)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


def test_pickle_is_never_loaded(tmp_path):
    for name, write in (("a.pt", lambda path: torch.save({"encoder": Bomb()}, path)), ("b.pkl", None)):
        path = tmp_path / name
        if write:
            write(path)
        else:
            path.write_bytes(pickle.dumps(Bomb()))
        refused(path, "never pickle")


@pytest.mark.parametrize("kept", [0, 4, 100, 0.5, -1])
def test_truncated(tmp_path, kept):
    path = tmp_path / "prior.safetensors"
    trained().save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)] if isinstance(kept, float) else content[:kept])
    refused(path, "truncated")


def test_flipped_bit(tmp_path):
    path = tmp_path / "prior.safetensors"
    trained().save(path)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    refused(path, "hash")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t, m: m.clear(), ["something else"]),
        (lambda t, m: m.pop("format_version"), ["format_version"]),
        (lambda t, m: m.update(format_version=str(FORMAT + 1)), ["format_version", "upgrade"]),
        (lambda t, m: m.pop("network"), ["metadata network"]),
        (lambda t, m: m.update(network="{"), ["metadata network", "JSON"]),
        (lambda t, m: m.update(training="[1]"), ["metadata training", "JSON"]),
        (lambda t, m: m.update(network=json.dumps({"family": "unet", "depth": 3})), ["depth"]),
        (lambda t, m: m.update(network=json.dumps({"family": ["unet"]})), ["family"]),
        (lambda t, m: m.update(network=json.dumps(CONFIG.to_dict() | {"channels": [3, 6, 13]})), ["float32", "13"]),
        (lambda t, m: m.update(network=json.dumps(NetworkConfig.skip(4, 2).to_dict())), ["expected"]),
        (lambda t, m: m.update(network=json.dumps(CONFIG.to_dict() | {"channels": [10**6] * 8})), ["expected"]),
        (lambda t, m: m.update(training="{}"), ["hash"]),
        (lambda t, m: t.pop("encoder.levels.0.1.convolution.weight"), ["encoder.levels.0.1.convolution.weight"]),
        (lambda t, m: t.pop("extra.mu"), ["hash"]),
        (lambda t, m: t.pop("decoder.head.convolution.bias"), ["decoder.head.convolution.bias", "got none"]),
        (lambda t, m: t.update({"decoder.more": torch.zeros(3)}), ["decoder.more", "got one"]),
        (lambda t, m: t.update({"other": torch.zeros(3)}), ["other"]),
        (lambda t, m: [t.pop(name) for name in list(t) if name.startswith("decoder")], ["decoder.", "got none"]),
        (lambda t, m: t.update({"decoder.head.convolution.bias": torch.zeros(2, 2)}), ["(3, 2)", "(2, 2)"]),
        (lambda t, m: t.update({"decoder.head.convolution.bias": torch.tensor(0.0)}), ["(3, 2)", "()"]),
        (lambda t, m: t.update({"decoder.head.convolution.bias": torch.zeros(3, 2).double()}), ["float64"]),
        (lambda t, m: t.update({"decoder.head.convolution.bias": torch.full((3, 2), torch.nan)}), ["finite"]),
    ],
)
def test_wrong_contents(tmp_path, change, words):
    path = tmp_path / "prior.safetensors"
    trained().save(path)
    tensors, metadata = contents(path)
    change(tensors, metadata)
    save_file(tensors, path, metadata)
    refused(path, *words)


def test_another_network(tmp_path):
    path = tmp_path / "prior.safetensors"
    trained().save(path)
    refused(path, "network.channels", "[4, 8, 16]", "[3, 6, 12]", network=NetworkConfig.unet(4, 2))
    refused(path, "network.output", network=NetworkConfig.unet(3, 2, output="residual"))
