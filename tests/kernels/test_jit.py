"""Where compiled code is kept."""

import warnings

import pytest

from deeplab_lit.kernels.jit import compiled


def test_without_a_place_for_compiled_code_it_is_compiled_anew():
    space = {}
    exec("def twice(x):\n    return 2 * x\n", space)  # numba finds no file beside which to keep this
    with pytest.warns(UserWarning, match="set NUMBA_CACHE_DIR to a folder that can be written to"):
        function = compiled(space["twice"])
    assert function(4) == 8


def test_with_a_place_nothing_is_said(tmp_path, monkeypatch):
    (tmp_path / "kept_on_disk.py").write_text("def twice(x):\n    return 2 * x\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import kept_on_disk

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compiled(kept_on_disk.twice)(4) == 8
    assert list(tmp_path.rglob("*.nbi"))
