"""MATLAB files as SciPy writes and reads them."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat, savemat
from scipy.sparse import csc_matrix

from deeplab_lit.data.mat_files import read_variable, struct_entries
from tests.data.layouts import part_annotation


def saved(content, **options):
    file = io.BytesIO()
    savemat(file, content, **options)
    return file.getvalue()


def written(values, compressed, before=True, **others):
    """A struct like SBD's, with sparse boundaries before the mask, and another variable."""
    fields = [("Boundaries", "O"), ("Segmentation", "O"), ("CategoriesPresent", "O")]
    struct = np.zeros((1, 1), fields if before else fields[::-1])
    edges = np.empty((2, 1), object)
    edges[:] = [[csc_matrix(np.eye(3) > 0)], [csc_matrix(np.zeros((3, 3)) > 0)]]
    struct[0, 0]["Boundaries"], struct[0, 0]["Segmentation"] = edges, values
    struct[0, 0]["CategoriesPresent"] = np.arange(3)
    return saved({"first": np.arange(4.0), "GTcls": struct, **others}, do_compression=compressed)


@given(st.integers(1, 9), st.integers(1, 9), st.booleans(), st.booleans(), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_the_mask_is_what_scipy_reads(height, width, compressed, before, seed):
    values = np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)
    content = written(values, compressed, before)
    expected = loadmat(io.BytesIO(content))["GTcls"][0]["Segmentation"][0]
    (found,) = struct_entries(read_variable(content, "GTcls"))
    np.testing.assert_array_equal(found["Segmentation"], expected)
    np.testing.assert_array_equal(expected, values)
    assert found["Boundaries"] == [None, None] and found["CategoriesPresent"].tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "bool"])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_matrix_of_each_type(kind, compressed):
    values = np.random.default_rng(0).integers(0, 2 if kind == "bool" else 120, (5, 7)).astype(kind)
    found = read_variable(saved({"other": 1, "LabelMap": values}, do_compression=compressed), "LabelMap")
    np.testing.assert_array_equal(found, values)
    assert found.dtype == ("u1" if kind == "bool" else kind)


def element(kind, content):
    return struct.pack("<II", kind, len(content)) + content + b"\0" * (-len(content) % 8)


def test_a_double_matrix_that_matlab_stores_as_small_integers():
    """SciPy writes doubles as they are, so the bytes are written here: class 6 (double), stored type 4 (uint16)."""
    values = np.array([[1, 459, 3], [0, 2, 300]], np.uint16)
    head = element(6, struct.pack("<II", 6, 0)) + element(5, struct.pack("<ii", 2, 3)) + element(1, b"LabelMap")
    matrix = element(14, head + element(4, values.tobytes(order="F")))
    content = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + matrix
    np.testing.assert_array_equal(loadmat(io.BytesIO(content))["LabelMap"], values)
    np.testing.assert_array_equal(read_variable(content, "LabelMap"), values)


@pytest.mark.parametrize("compressed", [False, True])
def test_structs_inside_structs(compressed):
    masks = np.random.default_rng(0).integers(0, 2, (4, 5, 6)) > 0
    objects = [
        ("person", 15, masks[0], [("head", masks[1]), ("llarm", masks[2])]),
        ("chair", 9, masks[3], []),
    ]
    (found,) = read_variable(saved(part_annotation(objects), do_compression=compressed), "anno")
    assert found["imname"] == "2008_000000"
    person, chair = found["objects"]
    assert (person["class"], person["class_ind"].item(), chair["class"]) == ("person", 15, "chair")
    assert [part["part_name"] for part in person["parts"]] == ["head", "llarm"]
    for part, mask in zip(person["parts"], masks[1:3], strict=True):
        np.testing.assert_array_equal(part["mask"], mask)
    assert struct_entries(chair["parts"]) == []


def test_cells_and_texts():
    cells = np.empty((2, 2), object)
    cells[:] = [["a", "b"], [np.arange(3), ""]]
    found = read_variable(saved({"cells": cells, "text": "gr\u00fc\u00dfe"}), "cells")
    assert found[0] == "a" and found[2] == "b" and found[1].tolist() == [[0, 1, 2]]  # column by column
    assert read_variable(saved({"text": "straw"}), "text") == "straw"


def test_what_is_not_there():
    content = written(np.ones((2, 3)), True)
    assert read_variable(content, "GTinst") is None
    assert struct_entries(read_variable(content, "first")) == []
    with pytest.raises(ValueError, match="not a MATLAB file of version 5 to 7"):
        read_variable(saved({"GTcls": np.ones(3)}, format="4"), "GTcls")


def test_structs_without_end():
    deep = {"a": 1}
    for _ in range(20):
        deep = {"a": deep}
    with pytest.raises(ValueError, match="more than 16 structs or cell arrays are inside each other"):
        read_variable(saved({"deep": deep}), "deep")
