"""Files of priors, of today and of 0.1.0, and files that are none."""

import errno
import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from prior_files import CONFIG, contents, trained
from safetensors.torch import save_file
from scans import small_operator

from ugodit.errors import InputError
from ugodit.fit.fit_config import TrainConfig
from ugodit.fit.model_config import ModelConfig
from ugodit.networks import NetworkConfig
from ugodit.operators.scale import normalize
from ugodit.priors.adaptation import from_prior, zero_shot
from ugodit.priors.presets import preset
from ugodit.priors.prior import Prior
from ugodit.priors.prior_file import FORMAT, contents_hash

EARLIER = Path(__file__).parent / "data" / "prior_0_1_0.safetensors"
"""Written by ugodit 0.1.0 (format 1): preset balanced, a U-Net of 4 and 8 channels, two scans, five steps."""


def refused(path, *words, network=None):
    with pytest.raises(InputError) as error:
        Prior.load(path, network)
    message = str(error.value)
    assert str(path) in message
    assert "\n" not in message
    for word in words:
        assert word in message
    return message


def test_save_replaces_whole_files_only(tmp_path, monkeypatch):
    path = tmp_path / "prior.safetensors"
    path.write_bytes(b"old")

    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
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
        (lambda t, m: m.pop("model"), ["metadata model"]),
        (lambda t, m: m.update(model="[1]"), ["metadata model", "JSON"]),
        (lambda t, m: m.update(model="{}"), ["hash"]),
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


def test_what_is_written_is_of_todays_format(tmp_path):
    path = tmp_path / "prior.safetensors"
    prior = trained()
    prior.save(path)
    tensors, metadata = contents(path)
    assert FORMAT == 2
    assert metadata["format_version"] == "2"
    assert json.loads(metadata["model"]) == prior.model.to_dict()
    assert json.loads(metadata["hash"]) == prior.hash
    assert set(tensors) == set(prior.tensors())


def test_a_form_of_a_later_version_is_named(tmp_path):
    """An option that this version does not know, in a file that is whole."""
    path = tmp_path / "prior.safetensors"
    trained().save(path)
    tensors, metadata = contents(path)
    model = {**json.loads(metadata["model"]), "colour": 1}
    texts = [json.loads(metadata["network"]), model, json.loads(metadata["training"])]
    metadata |= {"model": json.dumps(model), "hash": json.dumps(contents_hash(texts, tensors))}
    save_file(tensors, path, metadata)
    refused(path, "training configuration: colour: unknown option")


def test_a_prior_of_0_1_0_is_read():
    assert contents(EARLIER)[1]["format_version"] == "1"
    prior = Prior.load(EARLIER)
    assert prior.network == NetworkConfig.unet(4, 1, activation="leaky_relu", output="residual")
    assert prior.decoders == 2
    assert prior.model == ModelConfig(
        initial_estimate="compressed_sensing",
        initial_iterations=60,
        next_input="fixed",
        splitting="random",
        loss_fraction=0.3,
        iterations=1,
        mu=0.05,
        prior_variance=0.005,
        solve_iterations=4,
    )
    # It was trained by 0.1.0's preset, whose options have other names today.
    assert prior.model == preset("balanced").model
    expected = {"steps": 5, "mask_bank": 8, "two_stage": False, "symmetries": True, "shared_decoder": False}
    assert {name: prior.training[name] for name in expected} == expected
    earlier = ("start", "start_iterations", "unrolls", "proposal_variance", "pool", "improve_start", "splitting", "mu")
    assert not set(earlier) & set(prior.training)
    fitted = {name: value for name, value in prior.training.items() if name != "two_stage"}
    assert TrainConfig.from_dict(fitted).steps == 5
    assert [scan["name"] for scan in prior.provenance["scans"]] == ["k1", "k2"]
    assert prior.provenance["ugodit"] == "0.1.0"
    assert float(prior.extra["log_mu"].exp()) == pytest.approx(0.05)


def test_a_prior_of_0_1_0_keeps_its_weights_and_serves():
    tensors, _ = contents(EARLIER)
    prior = Prior.load(EARLIER)
    assert {name: tensor.tolist() for name, tensor in prior.tensors().items()} == {
        name: tensor.tolist() for name, tensor in tensors.items()
    }
    operator, _ = small_operator(rows=32, columns=40, noise=0.1)
    operator = normalize(operator)[0]
    image = zero_shot(operator, from_prior(operator, prior, preset("balanced").adapt))
    assert bool(image.isfinite().all())
    assert float(operator.data_consistency(image)) < 0.1 * float(operator.energy())


def test_a_prior_of_0_1_0_is_written_as_one_of_today(tmp_path):
    prior = Prior.load(EARLIER)
    prior.save(tmp_path / "again.safetensors")
    again = Prior.load(tmp_path / "again.safetensors")
    assert contents(tmp_path / "again.safetensors")[1]["format_version"] == str(FORMAT)
    assert (again.hash, again.model, again.training) == (prior.hash, prior.model, prior.training)
    assert again.provenance == prior.provenance


@pytest.mark.parametrize("place", [-3, 0.5, 0.9])
def test_a_flipped_byte_of_a_prior_of_0_1_0_is_refused(tmp_path, place):
    content = bytearray(EARLIER.read_bytes())
    index = place if isinstance(place, int) else int(len(content) * place)
    content[index] ^= 1
    path = tmp_path / "prior.safetensors"
    path.write_bytes(content)
    refused(path, "hash")


def test_changed_options_of_a_prior_of_0_1_0_are_refused(tmp_path):
    path = tmp_path / "prior.safetensors"
    tensors, metadata = contents(EARLIER)
    training = json.loads(metadata["training"])
    save_file(tensors, path, {**metadata, "training": json.dumps({**training, "unrolls": 2})})
    refused(path, "hash")
    # The same options, under today's names: it is not what 0.1.0 wrote.
    renamed = {"iterations" if name == "unrolls" else name: value for name, value in training.items()}
    save_file(tensors, path, {**metadata, "training": json.dumps(renamed)})
    refused(path, "hash")
    # In another order they are the same.
    save_file(tensors, path, {**metadata, "training": json.dumps(dict(reversed(training.items())))})
    assert Prior.load(path).hash == Prior.load(EARLIER).hash


def changed(path, name, text):
    """A prior with another text in its metadata."""
    trained().save(path)
    tensors, metadata = contents(path)
    save_file(tensors, path, {**metadata, name: text})
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("training", '{"a":' * 20 + "1" + "}" * 20),
        ("training", '{"a":' * 50_000 + "1" + "}" * 50_000),
        ("training", '{"a": ' + "9" * 5000 + "}"),
        ("training", '{"a": 1e999}'),
        ("provenance", '{"a": NaN}'),
        ("provenance", '{"a": [[18446744073709551616]]}'),
        ("model", "[]"),
    ],
)
def test_metadata_is_shallow_json_of_finite_numbers(tmp_path, name, text):
    refused(changed(tmp_path / "p.safetensors", name, text), f"metadata {name}: expected a JSON object of finite")


@pytest.mark.parametrize("text", ["", "0", "-1", "9" * 5000, "٣" * 3])
def test_versions_are_small_numbers(tmp_path, text):
    refused(changed(tmp_path / "p.safetensors", "format_version", text), "format_version")


@pytest.mark.parametrize(
    ("part", "field", "value", "message"),
    [
        ("model", "iterations", 10**6, "iterations: expected at most 100"),
        ("model", "solve_iterations", 10**13, "solve_iterations: expected at most 1000"),
        ("model", "mu", 1e300, "mu: expected at most 1e+06"),
        ("network", "channels", [10**9, 10**9], "channels: expected 2 to 8 integers from 1 to 1024"),
        ("network", "in_channels", 10**12, "in_channels: expected an integer from 1 to 1024"),
    ],
)
def test_what_a_prior_asks_for_is_limited(tmp_path, part, field, value, message):
    path = tmp_path / "p.safetensors"
    prior = trained()
    prior.save(path)
    tensors, metadata = contents(path)
    values = {**json.loads(metadata[part]), field: value}
    documents = [json.loads(metadata[name]) for name in ("network", "model", "training")]
    documents[["network", "model", "training"].index(part)] = values
    metadata |= {part: json.dumps(values), "hash": json.dumps(contents_hash(documents, tensors))}
    save_file(tensors, path, metadata)
    refused(path, message)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (torch.tensor(1), "extra.log_mu: expected at most 1024 finite numbers, float32, got int64 ()"),
        (torch.tensor(0.5, dtype=torch.bfloat16), "float32, got bfloat16"),
        (torch.tensor(float("nan")), "extra.log_mu: expected at most 1024 finite numbers"),
        (torch.ones(2000), "got float32 (2000,)"),
        (torch.ones(2), "extra.log_mu: expected one number from -30 to 30, got shape (2,)"),
        (torch.tensor(1e4), "extra.log_mu: expected one number from -30 to 30"),
    ],
)
def test_small_tensors_are_small_and_float32(tmp_path, tensor, message):
    path = tmp_path / "p.safetensors"
    trained().save(path)
    tensors, metadata = contents(path)
    save_file({**tensors, "extra.log_mu": tensor}, path, metadata)
    refused(path, message)


@pytest.mark.parametrize("length", [2**63, 10**9, 17 * 2**20])
def test_a_header_has_a_length_before_it_is_parsed(tmp_path, length):
    path = tmp_path / "p.safetensors"
    with path.open("wb") as file:
        file.write(length.to_bytes(8, "little") + b" " * 100)
        file.truncate(min(length + 200, 20 * 2**20))
    refused(path, "a truncated or foreign file (a header of")


def test_a_prior_is_a_regular_file(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    refused(tmp_path / "fifo", "expected a prior (safetensors), got a folder or a device")
