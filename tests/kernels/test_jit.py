"""Where compiled code is kept."""

import warnings

import numba

from deeplab_lit.kernels import jit
from deeplab_lit.kernels.jit import compiled


def test_without_a_place_for_compiled_code_it_is_compiled_anew_after_one_sentence(caplog, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    jit._warn.cache_clear()
    for _ in range(2):
        space = {}
        exec("def twice(x):\n    return 2 * x\n", space)  # numba finds no file beside which to keep this
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert compiled(space["twice"])(4) == 8
    assert [record.message for record in caplog.records] == [
        "numba finds no folder for its compiled code, so each process compiles kernels anew: set NUMBA_CACHE_DIR to a "
        "folder that can be written to"
    ]


def test_with_a_place_nothing_is_said(tmp_path, monkeypatch):
    (tmp_path / "kept_on_disk.py").write_text("def twice(x):\n    return 2 * x\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import kept_on_disk

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compiled(kept_on_disk.twice)(4) == 8
    assert list(tmp_path.rglob("*.nbi"))
