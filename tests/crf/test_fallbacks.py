"""numba missing, or nowhere to keep what it compiles: the CRF still works, with a warning."""

import subprocess
import sys
import warnings

import numpy as np
import pytest

from deeplab_lit.crf import DenseCRF
from deeplab_lit.kernels.jit import compiled
from tests.crf.test_dense import V2_RESNET, coarse_probabilities, photograph

WITHOUT = """
import sys, warnings
sys.modules.update(dict.fromkeys({missing}))  # importing them fails
import numpy as np
from deeplab_lit.crf import DenseCRF
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    data = np.load({file!r})
    crf = DenseCRF(**{settings}, normalization="after")
    np.save({out!r}, crf(data["image"], data["p"]))
    labels = crf.labels(data["image"], data["p"])
print(next(str(each.message) for each in said if "numba" in str(each.message)))
"""


@pytest.mark.parametrize(("missing", "other"), [(["numba"], "pydensecrf"), (["numba", "pydensecrf"], "torch")])
def test_without_numba_another_engine_does_the_work(tmp_path, missing, other):
    pytest.importorskip("pydensecrf")
    image = photograph(30, 40)
    p = coarse_probabilities(image, 4)
    np.savez(tmp_path / "in.npz", image=image, p=p)
    code = WITHOUT.format(
        missing=missing, file=str(tmp_path / "in.npz"), settings=V2_RESNET, out=str(tmp_path / "out.npy")
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"crf.engine={other} does its work" in done.stdout
    expected = DenseCRF(**V2_RESNET, normalization="after")(image, p)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, atol=5e-3)


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
