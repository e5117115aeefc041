import io
import json
import pickle
import struct
import tracemalloc
import zipfile
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segue.errors import CannotCreateError, MissingInputError, ModelFileError
from segue.io import tensors as module
from segue.io.tensors import read_tensors, write_tensors

ARRAYS: dict[str, NDArray[Any]] = {
    "weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "bias": np.array([-1.5, 0.0], np.float32),
    "steps": np.array(7, np.int64),
}
HEADER = {"content": "model", "names": ["cell", "µm ☃"], "number": 0.1}


@pytest.fixture
def path(tmp_path):
    write_tensors(tmp_path / "a.segue", ARRAYS, HEADER)
    return tmp_path / "a.segue"


def test_what_is_written_is_read(path):
    tensors, header = read_tensors(path)
    assert header == HEADER
    assert sorted(tensors) == sorted(ARRAYS)
    for name, array in ARRAYS.items():
        assert tensors[name].dtype == array.dtype
        np.testing.assert_array_equal(tensors[name], array)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (), (1,), (1, 2, 3, 4, 5)])
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8, bool])
def test_every_shape_and_type_survives(shape, dtype, tmp_path):
    array = np.arange(int(np.prod(shape))).reshape(shape).astype(dtype)
    write_tensors(tmp_path / "a", {"x": array}, {})
    np.testing.assert_array_equal(read_tensors(tmp_path / "a")[0]["x"], array, strict=True)


def test_an_array_that_is_not_contiguous_is_read_as_it_looks(tmp_path):
    turned = np.arange(12, dtype=np.float32).reshape(3, 4).T[::-1]
    write_tensors(tmp_path / "a", {"x": turned}, {})
    np.testing.assert_array_equal(read_tensors(tmp_path / "a")[0]["x"], turned, strict=True)


def test_no_tensors_and_no_header_are_a_file_too(tmp_path):
    write_tensors(tmp_path / "a", {}, {})
    assert read_tensors(tmp_path / "a") == ({}, {})


def test_equal_content_gives_equal_bytes_in_whatever_order_it_comes(path, tmp_path):
    other = tmp_path / "b.segue"
    write_tensors(other, dict(reversed(ARRAYS.items())), dict(reversed(HEADER.items())))
    assert other.read_bytes() == path.read_bytes()


def test_every_single_flipped_bit_is_noticed(path):
    good = path.read_bytes()
    assert len(good) < 1000
    accepted = []
    for place in range(len(good)):
        for bit in range(8):
            path.write_bytes(good[:place] + bytes([good[place] ^ 1 << bit]) + good[place + 1 :])
            try:
                read_tensors(path)
            except ModelFileError:
                continue
            accepted.append((place, bit))
    assert accepted == []


def test_every_truncation_is_noticed(path):
    good = path.read_bytes()
    for length in range(len(good)):
        path.write_bytes(good[:length])
        with pytest.raises(ModelFileError, match=r"a\.segue: "):
            read_tensors(path)


def test_bytes_that_were_exchanged_or_added_are_noticed(path):
    good = path.read_bytes()
    swapped = bytearray(good)
    swapped[-2], swapped[-6] = good[-6], good[-2]
    assert swapped != good
    for bad in (bytes(swapped), good + b"\0", b"\0" + good, good + good):
        path.write_bytes(bad)
        with pytest.raises(ModelFileError, match=r"a\.segue: "):
            read_tensors(path)


def test_reading_and_writing_hold_the_weights_twice_and_not_three_times(tmp_path):
    weights = np.zeros((1 << 20, 4), np.float32)  # 16 MiB
    write_tensors(tmp_path / "a", {"x": weights}, {})
    tracemalloc.start()
    try:
        read_tensors(tmp_path / "a")
        assert tracemalloc.get_traced_memory()[1] < 2.2 * weights.nbytes
        tracemalloc.reset_peak()
        write_tensors(tmp_path / "a", {"x": weights}, {})  # the bytes without the checksum, and with it
        assert tracemalloc.get_traced_memory()[1] < 2.2 * weights.nbytes
    finally:
        tracemalloc.stop()


def test_a_header_that_speaks_of_a_checksum_does_not_confuse_the_file(tmp_path):
    header = {"text": '"sha256": "' + "0" * 64, "sha256": "f" * 64, "zz": {"sha256": "1" * 64}}
    write_tensors(tmp_path / "a", ARRAYS, header)
    assert read_tensors(tmp_path / "a")[1] == header


def plain_safetensors():
    from safetensors.numpy import save

    return save({"x": np.zeros(3, np.float32)}, metadata={"made": "elsewhere"})


def zipped():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("data.pkl", b"")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the file holds 0 bytes"),
        *[(pickle.dumps({"a": 1}, protocol), "Python pickle, which is never loaded") for protocol in (2, 3, 4, 5)],
        (zipped(), "zip archive .* never loaded"),
        (np.random.default_rng(0).integers(0, 256, 1000, np.uint8).tobytes(), "something else"),
        (b"hello", "something else"),
        (b"\xff" * 64, "something else"),
        (plain_safetensors(), "something else"),
        (struct.pack("<Q", 2**60) + b'{"__metadata__": {}}', "something else"),
        (struct.pack("<Q", 2**63 + 5) + b"{}", "something else"),
    ],
)
def test_a_foreign_file_is_refused_by_what_it_is(data, words, tmp_path):
    path = tmp_path / "a.segue"
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match=rf"a\.segue: .*{words}.*not a file that Segue wrote; give it a \.segue"):
        read_tensors(path)


def signed(text, body=b""):
    """A file whose checksum is right, with `text` as its safetensors header."""
    import hashlib

    data = struct.pack("<Q", len(text)) + text + body
    digits = hashlib.sha256(data).hexdigest().encode()
    return data.replace(b"0" * 64, digits)


@pytest.mark.parametrize(
    "text",
    [
        b'{"__metadata__": {"segue": "{\\"header\\": 3, \\"sha256\\": \\"' + b"0" * 64 + b'\\"}"}}',
        b'{"__metadata__": {"segue": "{\\"other\\": 3, \\"sha256\\": \\"' + b"0" * 64 + b'\\"}"}}',
        b'{"__metadata__": {"other": "{\\"header\\": {}, \\"sha256\\": \\"' + b"0" * 64 + b'\\"}"}}',
        b'{"other": {"segue": "{\\"header\\": {}, \\"sha256\\": \\"' + b"0" * 64 + b'\\"}"}}',
        b'{"__metadata__": [], "x": "{\\"sha256\\": \\"' + b"0" * 64 + b'\\"}"}',
        b'["{\\"sha256\\": \\"' + b"0" * 64 + b'\\"}"]',
        b'not JSON \\"sha256\\": \\"' + b"0" * 64,
        b'{"__metadata__": {"segue": "' + b"[" * 100_000 + b'\\"sha256\\": \\"' + b"0" * 64 + b'\\"}"}}',
    ],
)
def test_a_right_checksum_over_a_wrong_header_is_refused(text, tmp_path):
    path = tmp_path / "a.segue"
    path.write_bytes(signed(text))
    with pytest.raises(ModelFileError, match=r"a\.segue: .*(cannot be understood|not an object)"):
        read_tensors(path)


@pytest.mark.parametrize("length", [10**9, 2**40, 2**63, 2**64 - 1])
def test_a_header_that_claims_a_huge_length_is_refused_at_once(path, length):
    good = path.read_bytes()
    path.write_bytes(struct.pack("<Q", length) + good[8:])
    with pytest.raises(ModelFileError, match=r"a\.segue: "):
        read_tensors(path)


def test_a_tensor_that_claims_more_than_the_file_holds_is_refused(tmp_path):
    inner = json.dumps(json.dumps({"header": {}, "sha256": "0" * 64}))
    claim = '"x": {"dtype": "F32", "shape": [1000000000], "data_offsets": [0, 4000000000]}'
    text = f'{{{claim}, "__metadata__": {{"segue": {inner}}}}}'
    path = tmp_path / "a.segue"
    path.write_bytes(signed(text.encode()))
    with pytest.raises(ModelFileError, match="cannot be understood"):
        read_tensors(path)


def test_a_file_larger_than_any_model_is_refused_before_it_is_read(path, monkeypatch):
    monkeypatch.setattr(module, "LARGEST_FILE", 100)
    with pytest.raises(ModelFileError, match=r"a\.segue: \d+ bytes are too many for a model; at most 100 are read"):
        read_tensors(path)


def test_a_missing_file_a_folder_and_a_path_through_a_file_are_told_apart(path, tmp_path):
    with pytest.raises(MissingInputError, match=r"b\.segue: there is no such file; check the path"):
        read_tensors(tmp_path / "b.segue")
    with pytest.raises(ModelFileError, match="this is not a file"):
        read_tensors(tmp_path)
    with pytest.raises(MissingInputError, match="there is no such file"):
        read_tensors(path / "b.segue")


def test_a_target_that_cannot_be_created_leaves_what_was_there(path):
    before = path.read_bytes()
    with pytest.raises(CannotCreateError, match="cannot be created"):
        write_tensors(path / "b.segue", ARRAYS, HEADER)
    assert path.read_bytes() == before


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_header_that_json_cannot_hold_is_not_written(value, tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_tensors(tmp_path / "a", {}, {"x": value})
    assert list(tmp_path.iterdir()) == []
