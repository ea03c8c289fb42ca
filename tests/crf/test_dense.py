"""The dense CRF against the exact sum over all pairs of pixels, against pydensecrf, and on bad input."""

import threading

import numpy as np
import pytest
import torch

from deeplab_lit.crf import DenseCRF, meanfield
from deeplab_lit.crf import lattice as lattices
from deeplab_lit.crf.permutohedral import build_filter, infer, padded
from deeplab_lit.kernels.half_precision import stores_half
from deeplab_lit.utils.errors import UserError

ENGINES = ["permutohedral", "pydensecrf", "torch"]
V2_RESNET = {
    "bilateral_weight": 4, "bilateral_xy_std": 67, "bilateral_rgb_std": 3, "gaussian_weight": 3, "gaussian_xy_std": 1,
}  # fmt: skip
SMALL = {
    "bilateral_weight": 4, "bilateral_xy_std": 12, "bilateral_rgb_std": 15, "gaussian_weight": 3, "gaussian_xy_std": 2,
}  # fmt: skip


def photograph(height, width, seed=0):
    """Smooth regions with edges and some noise, as photographs have."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    image = np.zeros((height, width, 3))
    for _ in range(6):
        y, x, r = rng.integers(0, height), rng.integers(0, width), rng.integers(4, max(5, height // 2))
        inside = (rows - y) ** 2 + (columns - x) ** 2 < r**2
        image[inside] = rng.integers(20, 235, 3)
    image += rng.normal(0, 4, image.shape) + (columns / width * 15)[..., None]
    return np.clip(image, 0, 255).astype(np.uint8)


def softmax(scores):
    e = np.exp(scores - scores.max(0))
    return (e / e.sum(0)).astype(np.float32)


def coarse_probabilities(image, classes, seed=1):
    """Blobs of a network's kind: smooth, and a little beside the edges."""
    rng = np.random.default_rng(seed)
    height, width = image.shape[:2]
    low = rng.normal(0, 2.0, (classes, height // 8 + 2, width // 8 + 2))
    return softmax(low.repeat(8, 1).repeat(8, 2)[:, :height, :width])


def exact(image, probabilities, normalization, bilateral_weight, bilateral_xy_std, bilateral_rgb_std, gaussian_weight,
          gaussian_xy_std, iterations=10):  # fmt: skip
    """Mean field with every pair of pixels (V2, equations 2 and 3)."""
    classes, height, width = probabilities.shape
    rows, columns = np.mgrid[:height, :width]
    place = np.stack([columns.ravel(), rows.ravel()], 1).astype(np.float64)
    colour = image.reshape(-1, 3).astype(np.float64)

    def kernel(*features):
        x = np.concatenate(features, 1)
        square = ((x[:, None] - x[None]) ** 2).sum(2)
        k = np.exp(-0.5 * square)
        norm = k.sum(1)
        if normalization == "symmetric":
            return k / np.sqrt(norm[:, None] * norm[None])
        return {"after": k / norm[:, None], "before": k / norm[None], "none": k}[normalization]

    pairwise = bilateral_weight * kernel(place / bilateral_xy_std, colour / bilateral_rgb_std)
    pairwise += gaussian_weight * kernel(place / gaussian_xy_std)
    unary = np.log(np.maximum(probabilities.reshape(classes, -1).astype(np.float64), 1e-5))
    q = np.exp(unary) / np.exp(unary).sum(0)
    for _ in range(iterations):
        score = unary + q @ pairwise.T
        q = np.exp(score - score.max(0))
        q /= q.sum(0)
    return q.reshape(probabilities.shape)


@pytest.mark.parametrize("normalization", ["symmetric", "after", "before"])
@pytest.mark.parametrize("engine", ENGINES)
def test_engines_approximate_the_sum_over_all_pairs(engine, normalization):
    """The lattice is an approximation of the Gaussian; the field it leads to is close to the exact one."""
    pytest.importorskip("pydensecrf") if engine == "pydensecrf" else None
    image = photograph(26, 34)
    p = coarse_probabilities(image, 5)
    expected = exact(image, p, normalization, **SMALL)
    found = DenseCRF(**SMALL, normalization=normalization, engine=engine, prune_threshold=0)(image, p)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-4)
    before = np.abs(p - expected).mean()
    assert np.abs(found - expected).mean() < 0.1 * before
    assert (found.argmax(0) == expected.argmax(0)).mean() > 0.93


def test_one_filter_is_the_gaussian_sum():
    """Without the field: a filtered picture against the exact sum, in two and in five dimensions."""
    rng = np.random.default_rng(0)
    for d in (2, 5):
        features = rng.uniform(0, 3, (300, d)).astype(np.float32)
        built = lattices.build(features)
        np.testing.assert_allclose(built.weights.sum(1), 1, atol=1e-5)
        assert (built.weights > -1e-5).all()
        exact_sum = np.exp(-0.5 * ((features[:, None] - features[None]) ** 2).sum(2)).sum(1)
        sums, _ = lattices.filter_ones[True](
            built.starts, built.pixels, built.shares, built.neighbours, built.vertices,
            built.weights * np.float32(built.gain),
        )  # fmt: skip
        assert np.corrcoef(sums, exact_sum)[0, 1] > 0.98
        # the lattice's Gaussian is the exact one times a constant, which every normalisation divides out
        ratio = sums / exact_sum
        assert ratio.std() < 0.12 * ratio.mean()


def test_the_lattice_is_the_same_from_one_thread_and_from_several():
    rng = np.random.default_rng(3)
    features = rng.uniform(0, 20, (5000, 5)).astype(np.float32)
    one, several = lattices.build(features, parallel=False), lattices.build(features, parallel=True)
    for name in ("vertices", "starts", "pixels", "neighbours"):
        np.testing.assert_array_equal(getattr(one, name), getattr(several, name))
    # neighbours are mutual
    points = one.points
    for direction in one.neighbours:
        right = direction[:, 0]
        known = np.flatnonzero(right < points)
        np.testing.assert_array_equal(direction[right[known], 1], known)


@pytest.mark.parametrize("largest", [2**12, 2**20])
def test_the_lattice_is_the_same_from_coordinates_in_one_integer_and_in_several(monkeypatch, largest):
    rng = np.random.default_rng(3)
    features = rng.uniform(0, 6, (3000, 5)).astype(np.float32)
    one = lattices.build(features)
    monkeypatch.setattr(lattices, "_LARGEST_KEY", largest)
    several = lattices.build(features)
    for name in ("vertices", "weights", "starts", "pixels", "shares", "neighbours", "reaches"):
        np.testing.assert_array_equal(getattr(one, name), getattr(several, name))


@pytest.mark.parametrize("normalization", ["symmetric", "after", "before", "none"])
@pytest.mark.parametrize("half", [False, True])
def test_labels_and_marginals_are_pydensecrfs(normalization, half):
    pytest.importorskip("pydensecrf")
    if half and not stores_half():
        pytest.skip("no half precision here")
    image = photograph(120, 160)
    p = coarse_probabilities(image, 21)
    weak = {"bilateral_weight": 0.05, "gaussian_weight": 0.05}  # sums that nothing divides are large
    settings = {**V2_RESNET, **(weak if normalization == "none" else {})}
    expected = DenseCRF(**settings, normalization=normalization, engine="pydensecrf", prune_threshold=0)(image, p)
    rows, columns = np.mgrid[:120, :160]
    place = np.stack([columns.ravel(), rows.ravel()], 1).astype(np.float32)
    colour = image.reshape(-1, 3).astype(np.float32)
    features = np.concatenate([place / np.float32(67), colour / np.float32(3)], 1)
    filters = [
        build_filter(features, settings["bilateral_weight"], normalization),
        build_filter(place / np.float32(1), settings["gaussian_weight"], normalization),
    ]
    found = infer(p.reshape(21, -1), tuple(filters), 10, half=half).reshape(p.shape)
    # such blobs leave more near-ties than networks do on photographs; half precision turns two of these 19,200 pixels
    assert (found.argmax(0) == expected.argmax(0)).mean() >= (0.9998 if half else 0.9999)
    difference = np.abs(found - expected)
    assert np.quantile(difference, 0.9999) < 1e-3 and difference.max() < (0.05 if half else 1e-3)


@pytest.mark.parametrize("classes", [2, 3, 8, 9, 21, 81])
def test_any_number_of_classes(classes):
    image = photograph(40, 50)
    p = coarse_probabilities(image, classes)
    assert padded(classes) >= classes and padded(classes) in (8, 16, 32, 64, 96)
    found = DenseCRF(**V2_RESNET, prune_threshold=0)(image, p)
    assert found.shape == p.shape and found.dtype == np.float32
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (3, 2)])
def test_small_pictures(shape):
    image = photograph(*shape)
    p = softmax(np.random.default_rng(0).normal(size=(3, *shape)))
    found = DenseCRF(**V2_RESNET)(image, p)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-3)


def test_a_picture_of_one_colour_and_of_one_class():
    flat = np.full((60, 80, 3), 77, np.uint8)
    p = coarse_probabilities(flat, 4)
    assert np.isfinite(DenseCRF(**V2_RESNET)(flat, p)).all()
    assert (DenseCRF(**V2_RESNET)(flat, np.ones((1, 60, 80), np.float32)) == 1).all()


def test_pruned_classes_come_back_as_zeros_and_cost_no_label():
    image = photograph(80, 100)
    p = coarse_probabilities(image, 5)
    more = np.concatenate([p * 0.98, np.full((6, 80, 100), 0.02 / 6, np.float32)]).astype(np.float32)
    crf = DenseCRF(**V2_RESNET, prune_threshold=0.01)
    found, whole = crf(image, more), DenseCRF(**V2_RESNET, prune_threshold=0)(image, more)
    assert (found[5:] == 0).all() and (found.argmax(0) == whole.argmax(0)).mean() > 0.999
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-3)
    # below the threshold everywhere, but somebody has to win
    even = np.full((200, 8, 9), 1 / 200, np.float32)
    assert DenseCRF(**V2_RESNET)(photograph(8, 9), even).sum(0) == pytest.approx(np.ones((8, 9)))


def test_zero_weights_change_nothing():
    image = photograph(20, 30)
    p = coarse_probabilities(image, 4)
    nothing = {**V2_RESNET, "bilateral_weight": 0, "gaussian_weight": 0}
    np.testing.assert_allclose(DenseCRF(**nothing)(image, p), p, atol=1e-3)
    np.testing.assert_allclose(DenseCRF(**V2_RESNET, iterations=0)(image, p), p, atol=1e-3)


def test_several_threads_at_once_get_what_one_gets():
    images = [photograph(50, 60, seed) for seed in range(6)]
    inputs = [(image, coarse_probabilities(image, 6, seed)) for seed, image in enumerate(images)]
    for threads in (None, 1):
        crf = DenseCRF(**V2_RESNET, threads=threads)
        expected = [crf(*each) for each in inputs]
        found = [None] * len(inputs)

        def work(number, crf=crf, found=found):
            for _ in range(3):
                found[number] = crf(*inputs[number])

        workers = [threading.Thread(target=work, args=(i,)) for i in range(len(inputs))]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        for a, b in zip(expected, found, strict=True):
            np.testing.assert_allclose(a, b, atol=2e-3)


IMAGE = photograph(8, 9)
EVEN = np.full((4, 8, 9), 0.25, np.float32)


def test_probabilities_may_be_arrays_or_tensors_of_any_precision():
    crf = DenseCRF(**V2_RESNET, threads=1)
    exact = softmax(np.random.default_rng(0).normal(size=(4, 8, 9)) * 3).astype(np.float16)  # the same in all types
    expected = crf(IMAGE, exact.astype(np.float32))
    tensor = torch.from_numpy(exact)
    leaf = tensor.float().requires_grad_()
    for given in (exact, exact.astype(np.float64), tensor, tensor.double(), leaf):
        found = crf(IMAGE, given)
        assert type(found) is np.ndarray and found.dtype == np.float32
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(crf.labels(IMAGE, given), crf.labels(IMAGE, exact.astype(np.float32)))
    assert crf(IMAGE, tensor.bfloat16()).dtype == np.float32


@pytest.mark.parametrize(
    ("image", "probabilities", "words"),
    [
        (IMAGE, EVEN[:, :, :8], r"\(4, 8, 8\) for an image of \(8, 9\)"),
        (IMAGE, EVEN.transpose(0, 2, 1), r"\(4, 9, 8\) for an image of \(8, 9\)"),
        (IMAGE, EVEN * 4, "add up to 4 to 4 instead of 1"),
        (IMAGE, np.log(EVEN), "if they are logits, apply the softmax first"),
        (IMAGE, np.where(EVEN > 0, np.nan, EVEN), "hold NaN"),
        (IMAGE, (EVEN * 255).astype(np.uint8), "are uint8: give float32"),
        (IMAGE / 255, EVEN, "image is float64"),
        (IMAGE[..., 0], EVEN, "give the original RGB bytes"),
        (IMAGE[:0], EVEN[:, :0], "give the original RGB bytes"),
        (IMAGE, EVEN[:0], r"\(0, 8, 9\)"),
    ],
)
def test_bad_input(image, probabilities, words):
    with pytest.raises(UserError, match=words):
        DenseCRF(**V2_RESNET)(image, probabilities)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"bilateral_xy_std": 0}, "crf.bilateral_xy_std=0: it is more than 0"),
        ({"gaussian_xy_std": -1}, "crf.gaussian_xy_std=-1: it is more than 0"),
        ({"bilateral_weight": -1}, "crf.bilateral_weight=-1: it is at least 0"),
        ({"normalization": "symetric"}, "Did you mean 'symmetric'"),
        ({"engine": "densecrf"}, "Did you mean 'pydensecrf'"),
        ({"prune_threshold": 1}, "prune_threshold=1"),
        ({"threads": 3}, "crf.threads=3"),
    ],
)
def test_bad_parameters(changed, words):
    with pytest.raises(UserError, match=words):
        DenseCRF(**{**V2_RESNET, **changed})


@pytest.mark.parametrize("engine", ["permutohedral", "torch"])
@pytest.mark.parametrize(
    "widths",
    [{"bilateral_rgb_std": 1e-4, "bilateral_xy_std": 1e-4}, {"gaussian_xy_std": 1e-6}, {"gaussian_xy_std": 1e-4}],
)
def test_widths_that_no_lattice_can_hold(engine, widths):
    """Also where single precision no longer knows the place in a simplex, and would write beside the arrays."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)
    p = coarse_probabilities(image, 3)
    with pytest.raises(UserError, match="deviations of the CRF are too small"):
        DenseCRF(**{**V2_RESNET, **widths}, engine=engine)(image, p)


@pytest.mark.parametrize("shape", [(150, 200), (7, 300), (40, 40)])
def test_threads_share_the_work_and_find_the_same(shape):
    """Parts overlap where they meet; what differs is the order in which the two variants add."""
    image = photograph(*shape)
    p = coarse_probabilities(image, 9)
    alone, together = (DenseCRF(**V2_RESNET, threads=threads, prune_threshold=0) for threads in (1, None))
    np.testing.assert_allclose(alone(image, p), together(image, p), atol=2e-3)
    assert (np.abs(alone(image, p) - together(image, p)) < 1e-6).mean() > 0.999
    assert (alone.labels(image, p) == together.labels(image, p)).mean() > 0.999
    np.testing.assert_array_equal(alone.labels(image, p), alone(image, p).argmax(0))


def test_labels_of_pruned_classes_keep_their_numbers():
    image = photograph(40, 50)
    p = np.zeros((9, 40, 50), np.float32)
    p[[2, 5, 7]] = coarse_probabilities(image, 3)
    crf = DenseCRF(**V2_RESNET)
    labels = crf.labels(image, p)
    assert set(np.unique(labels)) <= {2, 5, 7}
    np.testing.assert_array_equal(labels, crf(image, p).argmax(0))
    assert (crf.labels(image, np.eye(9, dtype=np.float32)[4][:, None, None].repeat(40, 1).repeat(50, 2)) == 4).all()


def test_first_marginals_and_logarithms():
    """What the field begins with, against numpy: probabilities of all sizes, 0 and 1 among them."""
    rng = np.random.default_rng(0)
    p = np.exp(rng.uniform(-30, 0, (5, 1000))).astype(np.float32)
    p[:, 0], p[0, 0] = 0, 1
    unary, marginals = np.empty((1000, 8), np.float32), np.empty((1000, 8), np.float32)
    meanfield.begin[False](p, p.view(np.int32), np.float32(1e-5).view(np.int32), unary, marginals, (0,))
    clipped = np.maximum(p, 1e-5)
    np.testing.assert_allclose(unary[:, :5].T, np.log(clipped), atol=2e-6)
    np.testing.assert_allclose(marginals[:, :5].T, clipped / clipped.sum(0), rtol=1e-5)
    assert (marginals[:, 5:] == 0).all() and (unary[:, 5:] < -1000).all()


@pytest.mark.long
@pytest.mark.parametrize("engine", ENGINES)
def test_more_classes_than_a_byte_counts(engine):
    """Label 290 of 300 came back as 34."""
    pytest.importorskip("pydensecrf") if engine == "pydensecrf" else None
    image = photograph(24, 32)
    p = np.zeros((300, 24, 32), np.float32)
    p[[2, 34, 290]] = coarse_probabilities(image, 3)
    for threshold in (0, 0.01):
        crf = DenseCRF(**SMALL, engine=engine, prune_threshold=threshold)
        labels = crf.labels(image, p)
        assert labels.dtype == np.uint16 and 290 in labels and set(np.unique(labels)) <= {2, 34, 290}
        np.testing.assert_array_equal(labels, crf(image, p).argmax(0))
    one = np.zeros_like(p)
    one[290] = 1
    assert (DenseCRF(**SMALL, engine=engine).labels(image, one) == 290).all()
    assert DenseCRF(**SMALL, engine=engine).labels(image, p[:256] / p[:256].sum(0)).dtype == np.uint8


@pytest.mark.parametrize("name", [*V2_RESNET, "iterations", "prune_threshold"])
@pytest.mark.parametrize("value", [(3, 4, 5, 6), [3.0], np.ones(21), "3", None, float("nan"), float("inf"), True])
def test_every_number_is_one_number(name, value):
    with pytest.raises(UserError, match=rf"crf\.{name}=.*: it is one number"):
        DenseCRF(**{**V2_RESNET, name: value})


def test_numbers_of_other_libraries_are_numbers():
    crf = DenseCRF(**{name: np.float64(value) for name, value in V2_RESNET.items()}, iterations=np.int64(3))
    image = photograph(16, 20)
    p = coarse_probabilities(image, 3)
    np.testing.assert_allclose(crf(image, p), DenseCRF(**V2_RESNET, iterations=3)(image, p), atol=1e-6)
    with pytest.raises(UserError, match=r"crf\.iterations=2\.5: it is a whole number"):
        DenseCRF(**V2_RESNET, iterations=2.5)
