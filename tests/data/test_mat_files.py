"""MATLAB files as SciPy writes and reads them."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat, savemat
from scipy.sparse import csc_matrix

from deeplab_lit.data.mat_files import byte_matrix


def written(values, compressed, before=True, **others):
    """A struct like SBD's, with sparse boundaries before the mask, and another variable."""
    fields = [("Boundaries", "O"), ("Segmentation", "O"), ("CategoriesPresent", "O")]
    struct = np.zeros((1, 1), fields if before else fields[::-1])
    edges = np.empty((2, 1), object)
    edges[:] = [[csc_matrix(np.eye(3) > 0)], [csc_matrix(np.zeros((3, 3)) > 0)]]
    struct[0, 0]["Boundaries"], struct[0, 0]["Segmentation"] = edges, values
    struct[0, 0]["CategoriesPresent"] = np.arange(3)
    file = io.BytesIO()
    savemat(file, {"first": np.arange(4.0), "GTcls": struct, **others}, do_compression=compressed)
    return file.getvalue()


@given(st.integers(1, 9), st.integers(1, 9), st.booleans(), st.booleans(), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_the_mask_is_what_scipy_reads(height, width, compressed, before, seed):
    values = np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)
    content = written(values, compressed, before)
    expected = loadmat(io.BytesIO(content))["GTcls"][0]["Segmentation"][0]
    np.testing.assert_array_equal(byte_matrix(content, "GTcls", "Segmentation"), expected)
    np.testing.assert_array_equal(expected, values)


def test_what_is_not_there_and_what_is_no_bytes():
    content = written(np.ones((2, 3)), True)
    with pytest.raises(TypeError):
        byte_matrix(content, "GTcls", "Segmentation")
    for variable, name in (("GTinst", "Segmentation"), ("GTcls", "Mask"), ("first", "Segmentation")):
        with pytest.raises(KeyError):
            byte_matrix(content, variable, name)
    file = io.BytesIO()
    savemat(file, {"GTcls": np.ones(3)}, format="4")
    with pytest.raises(ValueError, match="not a MATLAB file of version 5 to 7"):
        byte_matrix(file.getvalue(), "GTcls", "Segmentation")
