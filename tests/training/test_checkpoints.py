from pathlib import Path

import pytest

from deeplab_lit.data.labels import LabelSet
from deeplab_lit.data.normalization import Normalization
from deeplab_lit.training.checkpoints import check_resumable
from deeplab_lit.utils.errors import UserError
from deeplab_lit.weights.description import describe
from tests.inference.test_trained import LABELS, SPEC

PATH, CONTENT = Path("a.ckpt"), {"deeplab_lit": describe(SPEC, LABELS, Normalization())}


def test_a_resume_from_another_network_or_other_classes_is_refused():
    check_resumable(PATH, CONTENT, describe(SPEC, LABELS, Normalization()))
    other = {**SPEC, "model": {**SPEC["model"], "rates": [1, 3]}}
    with pytest.raises(UserError, match="another model"):
        check_resumable(PATH, CONTENT, describe(other, LABELS, Normalization()))
    with pytest.raises(UserError, match="2 classes"):
        check_resumable(PATH, CONTENT, describe(SPEC, LabelSet(("a", "b", "c")), Normalization()))
