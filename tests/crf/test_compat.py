"""pydensecrf's interface: each function against pydensecrf2 itself, against the sum over all pairs, on bad input."""

import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

from deeplab_lit.crf import compat
from deeplab_lit.utils.errors import UserError
from tests.crf.test_dense import coarse_probabilities, photograph

HEIGHT, WIDTH, LABELS = 90, 120, 5
IMAGE = photograph(HEIGHT, WIDTH)
# energies that come from no probabilities: of any sign, and no sums to 1
ENERGIES = 3 - 1.5 * np.log(coarse_probabilities(IMAGE, LABELS)).reshape(LABELS, -1)
VECTOR = -np.array([4, 3, 1, 6, 2], np.float32)
MATRIX = np.random.default_rng(0).normal(0, 1, (LABELS, LABELS)).astype(np.float32) - 3 * np.eye(
    LABELS, dtype=np.float32
)


def field(package, *terms, energies=ENERGIES, size=(WIDTH, HEIGHT)):
    """A CRF of either package, with terms (method, arguments); constants are given by name."""
    crf = package.DenseCRF2D(*size, len(energies))
    crf.setUnaryEnergy(np.ascontiguousarray(energies, np.float32))
    for method, arguments in terms:
        given = {key: getattr(package, value) if isinstance(value, str) else value for key, value in arguments.items()}
        getattr(crf, method)(**given)
    return crf


def gaussian(**arguments):
    return "addPairwiseGaussian", {"sxy": 3, "compat": 3, **arguments}


def bilateral(**arguments):
    return "addPairwiseBilateral", {"sxy": 60, "srgb": 8, "rgbim": IMAGE, "compat": 10, **arguments}


TERMS = {
    "none": [],
    "the Gaussian alone": [gaussian()],
    "the bilateral term alone": [bilateral()],
    "the usual two": [gaussian(), bilateral()],
    "three": [gaussian(sxy=1), bilateral(), bilateral(sxy=20, srgb=25, compat=2)],
    "four": [gaussian(sxy=1), gaussian(sxy=5, compat=1), bilateral(), bilateral(sxy=20, srgb=25, compat=2)],
    "widths for each axis and channel": [gaussian(sxy=(2, 5)), bilateral(sxy=(40, 70), srgb=(6, 9, 14))],
    "a vector": [gaussian(compat=VECTOR), bilateral()],
    "a matrix": [gaussian(compat=MATRIX), bilateral()],
    "a matrix for each": [gaussian(compat=MATRIX), bilateral(compat=2 * np.abs(MATRIX))],
    "the identity, which repels": [gaussian(compat=np.eye(LABELS, dtype=np.float32)), bilateral()],
    "normalised after": [gaussian(normalization="NORMALIZE_AFTER"), bilateral(normalization="NORMALIZE_AFTER")],
    "normalised before": [gaussian(normalization="NORMALIZE_BEFORE"), bilateral(normalization="NORMALIZE_BEFORE")],
    "not normalised": [gaussian(compat=0.1, normalization="NO_NORMALIZATION")],
    "other kernel types": [gaussian(kernel="CONST_KERNEL"), bilateral(kernel="FULL_KERNEL")],
}


@pytest.mark.parametrize("name", TERMS)
def test_marginals_are_pydensecrfs(name):
    reference = pytest.importorskip("pydensecrf.densecrf")
    for iterations in (0, 1, 5):
        expected = np.array(field(reference, *TERMS[name]).inference(iterations))
        found = field(compat, *TERMS[name]).inference(iterations)
        assert found.dtype == np.float32 and found.shape == expected.shape
        assert (found.argmax(0) == expected.argmax(0)).mean() >= 0.9999
        # its lattice rounds differently on single pixels
        assert np.quantile(np.abs(found - expected), 0.9999) < 1e-3


def test_tiny_widths():
    reference = pytest.importorskip("pydensecrf.densecrf")
    terms = [gaussian(sxy=0.3), bilateral(sxy=3, srgb=2)]
    expected, found = np.array(field(reference, *terms).inference(10)), field(compat, *terms).inference(10)
    assert (found.argmax(0) == expected.argmax(0)).mean() >= 0.9999
    assert np.quantile(np.abs(found - expected), 0.9999) < 1e-2


@pytest.mark.parametrize("labels", [2, pytest.param(97, marks=pytest.mark.long)])
def test_any_number_of_labels(labels):
    reference = pytest.importorskip("pydensecrf.densecrf")
    energies = -np.log(coarse_probabilities(IMAGE[:30, :40], labels)).reshape(labels, -1)
    terms = [gaussian(), bilateral(rgbim=np.ascontiguousarray(IMAGE[:30, :40]))]
    expected, found = (
        np.array(field(m, *terms, energies=energies, size=(40, 30)).inference(5)) for m in (reference, compat)
    )
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_steps_and_divergence_are_pydensecrfs():
    reference = pytest.importorskip("pydensecrf.densecrf")
    crfs = [field(package, *TERMS["a matrix"]) for package in (reference, compat)]
    states = [crf.startInference() for crf in crfs]
    for _ in range(3):
        divergences = []
        for crf, state in zip(crfs, states, strict=True):
            crf.stepInference(*state)
            divergences.append(crf.klDivergence(state[0]))
        assert divergences[1] == pytest.approx(divergences[0], rel=1e-4)
    np.testing.assert_allclose(states[1][0], np.array(states[0][0]), atol=1e-3)
    np.testing.assert_allclose(states[1][0], crfs[1].inference(3), atol=1e-4)


def test_features_of_three_dimensions_and_of_two_channels():
    reference, theirs = pytest.importorskip("pydensecrf.densecrf"), pytest.importorskip("pydensecrf.utils")
    rng = np.random.default_rng(0)
    volume, energies = rng.normal(size=(9, 10, 11, 2)).astype(np.float32), rng.normal(0, 2, (3, 990)).astype(np.float32)
    found = []
    for package, utils in ((reference, theirs), (compat, compat)):
        crf = package.DenseCRF(990, 3)
        crf.setUnaryEnergy(energies)
        crf.addPairwiseEnergy(utils.create_pairwise_gaussian((2, 3, 4), (9, 10, 11)), compat=2)
        crf.addPairwiseEnergy(utils.create_pairwise_bilateral((3, 4, 5), (1, 2), volume, 3), compat=4)
        found.append(np.array(crf.inference(5)))
    difference = np.abs(found[1] - found[0])
    assert np.quantile(difference, 0.999) < 1e-3 and difference.max() < 1e-2  # its lattice rounds differently


def test_many_channels():
    """Nine: their coordinates fill several integers."""
    reference = pytest.importorskip("pydensecrf.densecrf")
    rng = np.random.default_rng(0)
    channels, energies = rng.uniform(0, 200, (60, 80, 9)), rng.normal(0, 2, (3, 4800)).astype(np.float32)
    features = compat.create_pairwise_bilateral((60, 60), 40, channels, 2)
    expected = reference.DenseCRF(4800, 3)
    expected.setUnaryEnergy(energies)
    expected.addPairwiseEnergy(features, compat=4)
    expected = np.array(expected.inference(3))
    found = field(compat, energies=energies, size=(80, 60))
    found.addPairwiseEnergy(features, compat=4)
    difference = np.abs(found.inference(3) - expected)
    assert np.quantile(difference, 0.999) < 1e-3 and difference.max() < 1e-2


def test_a_matrix_against_the_sum_over_all_pairs():
    """The one comparison that needs no pydensecrf: each label's score from all pixels and all labels."""
    image = photograph(20, 26)
    energies = -np.log(coarse_probabilities(image, 3)).reshape(3, -1)
    matrix = -np.array([[4, 1, 0], [1, 2, -1], [0, -1, 3]], np.float32)
    rows, columns = np.mgrid[:20, :26]
    x = np.stack([columns.ravel() / 8, rows.ravel() / 8, *(image.reshape(-1, 3) / 40).T]).astype(np.float32)
    kernel = np.exp(-0.5 * ((x[:, :, None] - x[:, None]) ** 2).sum(0))
    kernel /= np.sqrt(np.outer(kernel.sum(0), kernel.sum(0)))
    q = np.exp(-energies) / np.exp(-energies).sum(0)
    start = q
    for _ in range(5):
        score = -energies - matrix @ q @ kernel
        q = np.exp(score - score.max(0))
        q /= q.sum(0)
    crf = compat.DenseCRF(520, 3)
    crf.setUnaryEnergy(energies)
    crf.addPairwiseEnergy(x, compat=matrix)
    found = crf.inference(5)
    assert np.abs(found - q).mean() < 0.1 * np.abs(start - q).mean()
    assert (found.argmax(0) == q.argmax(0)).mean() > 0.95


@pytest.mark.parametrize("image", ["grey", "four channels", "floats", "another memory layout"])
def test_images_that_pydensecrf_does_not_take(image):
    """They equal what pydensecrf's functions make of them as features."""
    rng = np.random.default_rng(0)
    given = {
        "grey": IMAGE[..., 0],
        "four channels": np.concatenate([IMAGE, IMAGE[..., :1]], 2),
        "floats": rng.normal(0, 30, IMAGE.shape),
        "another memory layout": np.asfortranarray(IMAGE),
    }[image]
    found = field(compat, bilateral(rgbim=given)).inference(3)
    crf = field(compat)
    features = compat.create_pairwise_bilateral((60, 60), 8, given, -1 if given.ndim == 2 else 2)
    crf.addPairwiseEnergy(features[[1, 0, *range(2, len(features))]], compat=10)
    np.testing.assert_allclose(found, crf.inference(3), atol=1e-5)


UTILS = {
    "softmax": lambda u: u.unary_from_softmax(coarse_probabilities(IMAGE, 4)),
    "softmax, scaled": lambda u: u.unary_from_softmax(coarse_probabilities(IMAGE, 4), scale=0.7, clip=1e-3),
    "softmax, not clipped": lambda u: u.unary_from_softmax(coarse_probabilities(IMAGE, 4), clip=None),
    "softmax in half precision": lambda u: u.unary_from_softmax(coarse_probabilities(IMAGE, 4).astype(np.float16), 0.5),
    "labels": lambda u: u.unary_from_labels(np.arange(12).reshape(3, 4) % 4, 3, 0.7),
    "labels, all sure": lambda u: u.unary_from_labels(np.arange(12).reshape(3, 4) % 4, 4, 0.7, zero_unsure=False),
    "gaussian": lambda u: u.create_pairwise_gaussian((2, 3, 4), (5, 6, 7)),
    "bilateral": lambda u: u.create_pairwise_bilateral((2, 3), (4, 5, 6), IMAGE, 2),
    "bilateral, channels first": lambda u: u.create_pairwise_bilateral((2, 3), (4, 5, 6), IMAGE.transpose(2, 0, 1), 0),
    "bilateral, no channels": lambda u: u.create_pairwise_bilateral((2, 3, 4), (5,), IMAGE),
    "bilateral, one deviation": lambda u: u.create_pairwise_bilateral((2, 3), 4, IMAGE, 2),
    # the channels and dimensions behind the given ones have a deviation of 1
    "bilateral, a deviation of two channels": lambda u: u.create_pairwise_bilateral((2, 3), (4, 5), IMAGE, 2),
    "bilateral, a deviation of one channel": lambda u: u.create_pairwise_bilateral((2, 3), [4], IMAGE, 2),
    "bilateral, a deviation of one dimension": lambda u: u.create_pairwise_bilateral((2,), (4, 5, 6), IMAGE, 2),
}


@pytest.mark.parametrize("name", UTILS)
def test_functions_of_utils_are_pydensecrfs(name):
    reference = pytest.importorskip("pydensecrf.utils")
    expected, found = UTILS[name](reference), UTILS[name](compat)
    assert found.dtype == np.float32 and found.flags.c_contiguous
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)


def test_unsure_labels_may_be_unsigned_bytes():
    """pydensecrf computes 0 - 1 = 255 of them."""
    labels = np.arange(12).reshape(3, 4) % 4
    expected = compat.unary_from_labels(labels, 3, 0.7)
    np.testing.assert_array_equal(compat.unary_from_labels(labels.astype(np.uint8), 3, 0.7), expected)


def test_old_names_warn():
    labels = np.arange(12).reshape(3, 4) % 4
    with pytest.warns(DeprecationWarning, match="unary_from_labels"):
        np.testing.assert_array_equal(compat.compute_unary(labels, 3), compat.unary_from_labels(labels, 3, 0.5))
    probabilities = coarse_probabilities(IMAGE, 3)
    with pytest.warns(DeprecationWarning, match="unary_from_softmax"):
        found = compat.softmax_to_unary(probabilities, 0.8)
    np.testing.assert_array_equal(found, compat.unary_from_softmax(probabilities, 0.8, clip=None))


@pytest.mark.parametrize("certainty", [1, 0.9])
def test_the_old_name_clips_no_probabilities(certainty):
    reference = pytest.importorskip("pydensecrf.utils")
    probabilities = np.array([[6.4e-7, 0.5, 1e-30], [1 - 6.4e-7, 0.5, 1]], np.float32)
    with pytest.warns(DeprecationWarning):
        found = compat.softmax_to_unary(probabilities, certainty)
    np.testing.assert_allclose(found, reference.softmax_to_unary(probabilities, certainty), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("certainty", [1, 0.8])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_old_function_does_not_clip(certainty):
    theirs = pytest.importorskip("pydensecrf.utils")
    probabilities = np.array([[0, 1e-9, 0.5], [1, 1 - 1e-9, 0.5]], np.float32)
    with np.errstate(divide="ignore"):
        expected = theirs.softmax_to_unary(probabilities, certainty)
    np.testing.assert_allclose(compat.softmax_to_unary(probabilities, certainty), expected, rtol=1e-6)


def test_impossible_labels():
    """A probability of 0 is an infinite energy, as unary_from_softmax makes it without clip."""
    reference = pytest.importorskip("pydensecrf.densecrf")
    probabilities = coarse_probabilities(IMAGE, LABELS)
    probabilities[0, :, 40:] = 0
    probabilities[2, ::3] = 0
    probabilities[4] = 0
    energies = compat.unary_from_softmax(probabilities, clip=None)
    assert np.isinf(energies).any()
    for name in ("the usual two", "a matrix"):
        for iterations in (0, 1, 5):
            expected = np.array(field(reference, *TERMS[name], energies=energies).inference(iterations))
            found = field(compat, *TERMS[name], energies=energies).inference(iterations)
            assert np.quantile(np.abs(found - expected), 0.9999) < 1e-3
            assert found[np.isinf(energies)].max() < 1e-20
    crfs = [field(package, *TERMS["a matrix"], energies=energies) for package in (reference, compat)]
    states = [crf.startInference() for crf in crfs]
    for crf, state in zip(crfs, states, strict=True):
        crf.stepInference(*state)
    assert np.quantile(np.abs(states[1][0] - np.array(states[0][0])), 0.9999) < 1e-3


def test_unaries_of_both_kinds():
    rng = np.random.default_rng(0)
    weights, features = rng.normal(size=(3, 2)), rng.normal(size=(2, 6))
    crfs = [compat.DenseCRF(6, 3) for _ in range(3)]
    crfs[0].setUnary(compat.LogisticUnary(weights, features))
    crfs[1].setUnary(compat.ConstUnary(weights @ features))
    crfs[2].setUnaryEnergy(weights @ features)
    first, *others = (crf.inference(1) for crf in crfs)
    for other in others:
        np.testing.assert_allclose(other, first, atol=1e-6)


def test_large_energies_and_large_weights_stay_finite():
    crf = field(compat, gaussian(compat=1e4 * np.eye(LABELS)), bilateral(compat=1e4), energies=1e6 * ENERGIES)
    found = crf.inference(3)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)


def total(seed):
    crf = field(compat, *TERMS["the usual two"], energies=ENERGIES + seed * IMAGE[..., 0].ravel() / 100)
    return crf.inference(2)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def test_in_processes_and_threads_as_people_call_it():
    """After the parent has used it, which is where OpenMP's threads and fork do not go together."""
    expected = [total(seed) for seed in range(3)]
    with ThreadPoolExecutor(3) as threads, ProcessPoolExecutor(2, get_context("fork")) as processes:
        for pool in (threads, processes):
            for found, wanted in zip(pool.map(total, range(3)), expected, strict=True):
                np.testing.assert_allclose(found, wanted, atol=1e-5)


def uses_several_threads(_):
    return compat.DenseCRF2D(400, 300, 2)._parallel


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def test_a_child_process_takes_one_thread():
    with ProcessPoolExecutor(1, get_context("fork")) as processes:
        assert uses_several_threads(0) and list(processes.map(uses_several_threads, [0])) == [False]


def test_threads_are_not_started_for_a_few_pixels():
    """On a busy machine their start takes 50 times as long as pydensecrf2 takes in all."""
    assert not compat.DenseCRF2D(40, 30, 2)._parallel and compat.DenseCRF2D(200, 150, 2)._parallel


def test_neither_the_crf_nor_its_other_interface_imports_torch():
    """Each process of a pool would wait a second for it, and hold it in memory."""
    code = "import sys, deeplab_lit.crf, deeplab_lit.crf.compat; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


def test_one_thread_gives_the_same():
    crf = field(compat, *TERMS["three"])
    expected = crf.inference(3)
    crf.threads = 1
    np.testing.assert_allclose(crf.inference(3), expected, atol=1e-6)


MISTAKES = {
    "no unaries": (lambda: compat.DenseCRF2D(4, 3, 2).inference(1), "call setUnaryEnergy first"),
    "no labels": (lambda: compat.DenseCRF(4, 0), "4 variables and 0 labels"),
    "another shape": (lambda: compat.DenseCRF2D(4, 3, 2).setUnaryEnergy(np.ones((12, 2))), r"give \(2, 12\)"),
    "NaN": (lambda: compat.DenseCRF2D(4, 3, 2).setUnaryEnergy(np.full((2, 12), np.nan)), "NaN or minus"),
    "features of another size": (lambda: compat.DenseCRF(4, 2).addPairwiseEnergy(np.zeros((2, 5)), 3), r"\(2, 5\)"),
    "a vector of another length": (lambda: compat.DenseCRF2D(4, 3, 2).addPairwiseGaussian(3, np.ones(3)), r"\(2,\)"),
    "a weight of NaN": (lambda: compat.DenseCRF2D(4, 3, 2).addPairwiseGaussian(3, float("nan")), "not finite"),
    "three widths": (lambda: compat.DenseCRF2D(4, 3, 2).addPairwiseGaussian((3, 3, 3), 3), "2 of them"),
    "a width of 0": (lambda: compat.DenseCRF2D(4, 3, 2).addPairwiseGaussian(0, 3), "above 0"),
    "height and width swapped": (
        lambda: compat.DenseCRF2D(4, 3, 2).addPairwiseBilateral(3, 3, np.ones((4, 3, 3)), 3), r"\(3, 4, channels\)",
    ),
    "no constant": (lambda: compat.DenseCRF2D(4, 3, 2).addPairwiseGaussian(3, 3, normalization=7), "constants"),
    "gt_prob": (lambda: compat.unary_from_labels(np.zeros((2, 2), int), 2, 1.0), "between 0 and 1"),
    "void among labels": (lambda: compat.unary_from_labels(np.array([0, 255]), 21, 0.7), "255: with n_labels=21"),
    "too many channels": (
        lambda: compat.create_pairwise_bilateral(3, (1, 2, 3, 4), np.ones((4, 3, 3)), 2), "4 deviations for 3 channels",
    ),
    "too few dimensions": (lambda: compat.create_pairwise_gaussian((3,), (4, 5)), "1 deviations for 2 dimensions"),
    "fractions as labels": (lambda: compat.unary_from_labels(np.array([0.0, 1.0]), 2, 0.7), "float64: give whole"),
    "minus infinity": (lambda: compat.DenseCRF2D(4, 3, 2).setUnaryEnergy(np.full((2, 12), -np.inf)), "infinity"),
    "a pixel without a possible label": (
        lambda: compat.DenseCRF2D(4, 3, 2).setUnaryEnergy(np.full((2, 12), np.inf)), "no label is possible"
    ),
    "scale": (lambda: compat.unary_from_softmax(np.ones((2, 3)) / 2, scale=2), "at most 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_get_one_sentence(name):
    call, words = MISTAKES[name]
    with pytest.raises(UserError, match=words):
        call()
