"""numba missing: the CRF still works, with a warning."""

import subprocess
import sys

import numpy as np
import pytest

from deeplab_lit.crf import DenseCRF
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
