"""Predictor of the class probabilities and the labels of an image of any size, from its bytes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

from deeplab_lit.data.normalization import Normalization
from deeplab_lit.data.transforms import EvalTransform
from deeplab_lit.models.folding import folded_for_good, folds
from deeplab_lit.models.fused_scales import FusedScales
from deeplab_lit.models.network import Network
from deeplab_lit.models.pixel_labels import pixel_labels
from deeplab_lit.utils.arrays import Bytes, Floats, Pixels
from deeplab_lit.utils.device import own_device
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.hardware import resolve_precision
from deeplab_lit.weights.onnx_graph import OnnxNetwork

Scorer = Network | OnnxNetwork
Refine = Callable[[Pixels, Floats], Floats]
_WHOLE = 2048 * 1024
"""The pixels of the largest image whose probabilities are in memory as a whole for a CRF: one of Cityscapes."""

_GRID = 32
"""Windows begin at multiples of this, in pixels.

With aligned corners, the scores of a window then lie at pixels where the whole image has scores too, at output strides
up to 32, and at a stride of 8 also on inputs scaled by 0.5 and 0.75.
"""

PRECISIONS = {"32-true": None, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


class Predictor:
    """A network that takes images as they are read, such as RGB bytes.

    Args:
        network: the network in evaluation mode, with ``scores(image)``. One with batch normalisation that is folded
            into filters is copied, and folded once, so that later changes of its weights have no effect.
        normalization: the normalisation of its input.
        size: the least height and width in pixels that images are padded to, as in its evaluation.
        flip: average the probabilities of the image and of its mirror image.
        window: the longest side in pixels of an image that is processed whole; larger images are processed in windows
            of this size.
        overlap: the least number of pixels by which neighbouring windows overlap; the weights of their probabilities
            fall off there. V2 gives none. With 256, each pixel of an image of 2048 x 1024 lies at least 256 pixels
            from where one of its windows ends inside the image: more than half of the field of view of VGG-16 with
            LargeFOV, which is 435.
        device: ``"auto"``, or PyTorch's name of a device; see :func:`deeplab_lit.utils.device.own_device`.
        precision: ``"auto"`` (bf16 where the device has it in hardware), or Lightning's name of a precision.

    Raises:
        UserError: a value is out of range, or the device is not available.
    """

    def __init__(
        self,
        network: Scorer | FusedScales,
        normalization: Normalization,
        size: int = 513,
        flip: bool = False,
        window: int = 1025,
        overlap: int = 256,
        device: str = "auto",
        precision: str = "auto",
    ) -> None:
        if window < 64 or not 0 <= overlap < window:
            raise UserError(f"window={window}, overlap={overlap}: a window has at least 64 pixels, more than overlaps.")
        self.device = own_device(device)
        chosen = resolve_precision(precision, self.device.type)
        if chosen not in PRECISIONS:
            raise UserError(f"precision={precision!r}: choose auto, {', '.join(PRECISIONS)}.")
        self.precision, self._type = chosen, PRECISIONS[chosen]
        self._format = torch.channels_last if self._type is not None else torch.contiguous_format
        ready = folded_for_good(network) if folds(network) else network
        self.network: Scorer | FusedScales = ready.to(self.device, memory_format=self._format)  # type: ignore[call-overload]
        self._transform = EvalTransform(min(size, window), normalization)
        self.pixels = normalization.pixels
        self.flip, self.window, self.overlap = flip, window, overlap

    def probabilities(self, image: Pixels, refine: Refine | None = None) -> Floats:
        """The probabilities, float32 (C, H, W), of an image (H, W, C) of any size.

        Those of a large image are the weighted means over the windows that hold a pixel. ``refine`` is applied to each
        window, or to the image if it has none.
        """
        if not self.fits(image):
            return np.concatenate([part for _, part in self._bands(image, refine)], 1)
        found = self._at_once([image])[0]
        return found if refine is None else refine(image, found)

    def labels(self, image: Pixels) -> Bytes:
        """The class of each pixel, uint8 (H, W), of an image (H, W, C).

        Without ``flip`` and windows, no probabilities are computed.
        """
        if not self.fits(image):
            return self.labels_in_windows(image)
        if self.flip:
            return self.probabilities(image).argmax(0).astype(np.uint8)
        height, width = image.shape[:2]
        with self._inference():
            found = pixel_labels(self.network, self._input([image]))
        return np.ascontiguousarray(found[0, :height, :width].cpu().numpy().astype(np.uint8))

    def labels_of_each(
        self, images: Iterable[Pixels], refine: Refine | None = None, batch_size: int = 8
    ) -> list[Bytes]:
        """The labels, uint8 (H, W), of each image; ``refine`` is applied to each image's probabilities by itself.

        Of images that are not :meth:`refined_whole` it is applied to each window. Up to ``batch_size`` images that are
        padded to the same size go through the network together. Those that wait for others of their size, and the
        labels, are in memory.
        """
        found: dict[int, Bytes] = {}
        waiting: dict[tuple[int, int], dict[int, Pixels]] = defaultdict(dict)

        def compute(batch: dict[int, Pixels]) -> None:
            for (number, image), each in zip(batch.items(), self._at_once(list(batch.values())), strict=True):
                found[number] = (each if refine is None else refine(image, each)).argmax(0).astype(np.uint8)
            batch.clear()

        for number, image in enumerate(images):
            if not self.fits(image):
                if refine is not None and self.refined_whole(image):
                    found[number] = refine(image, self.probabilities(image)).argmax(0).astype(np.uint8)
                else:
                    found[number] = self.labels_in_windows(image, refine)
                continue
            batch = waiting[self._transform.padded_size(*image.shape[:2])]
            batch[number] = image
            if len(batch) >= batch_size:
                compute(batch)
        for batch in waiting.values():
            if batch:
                compute(batch)
        return [found[number] for number in range(len(found))]

    def fits(self, image: Pixels) -> bool:
        """Whether the image is processed whole, without windows."""
        return max(image.shape[:2]) <= self.window

    def refined_whole(self, image: Pixels) -> bool:
        """Whether a CRF refines the image as a whole; larger ones are refined window by window, to bound the memory."""
        return self.fits(image) or image.shape[0] * image.shape[1] <= _WHOLE

    def labels_in_windows(self, image: Pixels, refine: Refine | None = None) -> Bytes:
        """The labels, uint8 (H, W), of a large image; ``refine`` is applied to each window by itself.

        Only the probabilities of one row of windows are in memory at a time.
        """
        result = np.empty(image.shape[:2], np.uint8)
        for top, part in self._bands(image, refine):
            result[top : top + part.shape[1]] = part.argmax(0)
        return result

    def _at_once(self, images: Sequence[Pixels]) -> list[Floats]:
        """The probabilities (C, H, W) of images that are padded to the same size, in one batch."""
        x, sizes = self._input(images), [image.shape[:2] for image in images]
        with self._inference():
            whole = self._softmax(x)
            found = [each[:, :height, :width] for each, (height, width) in zip(whole, sizes, strict=True)]
            if self.flip:
                # the image alone is mirrored; its padding stays at the right
                views = zip(x, sizes, strict=True)
                mirrored = [torch.cat([each[..., :w].flip(-1), each[..., w:]], -1) for each, (_, w) in views]
                others = self._softmax(torch.stack(mirrored))
                found = [(a + b[:, :h, :w].flip(-1)) / 2 for a, b, (h, w) in zip(found, others, sizes, strict=True)]
        return [np.ascontiguousarray(each.float().cpu().numpy()) for each in found]

    def _input(self, images: Sequence[Pixels]) -> torch.Tensor:
        batch = torch.stack([self._transform.image(image) for image in images])
        return batch.to(self.device, memory_format=self._format)

    @contextmanager
    def _inference(self) -> Iterator[None]:
        with torch.inference_mode(), torch.autocast(self.device.type, self._type, enabled=self._type is not None):
            yield

    def _softmax(self, x: torch.Tensor) -> torch.Tensor:
        return self.network.scores(x).float().softmax(1)

    def _bands(self, image: Pixels, refine: Refine | None) -> Iterator[tuple[int, Floats]]:
        """Yield the finished bands of a large image: the first row of the band, and its probabilities (C, rows, W)."""
        height, width = image.shape[:2]
        rows, columns = self._places(height), self._places(width)
        held: Floats | None = None  # sums over windows from row ``first`` on; the last plane sums the weights
        first = 0
        for number, top in enumerate(rows):
            bottom = min(height, top + self.window)
            end = rows[number + 1] if number + 1 < len(rows) else height
            for left in columns:
                part = image[top:bottom, left : left + self.window]
                found = self._at_once([part])[0]
                if refine is not None:
                    found = refine(part, found)
                if held is None:
                    held = np.zeros((len(found) + 1, min(self.window, height), width), np.float32)
                ramp = self._fade(part.shape[0])[:, None] * self._fade(part.shape[1])[None]
                rest = held[:, top - first : bottom - first, left : left + part.shape[1]]
                rest[:-1] += found * ramp
                rest[-1] += ramp
            assert held is not None
            done = held[:, : end - first]
            yield first, done[:-1] / done[-1]
            held = np.concatenate([held[:, end - first :], np.zeros_like(held[:, : end - first])], 1)
            first = end

    def _places(self, length: int) -> list[int]:
        """Where windows begin along a side, on the grid where the overlap allows; the last one ends at the border."""
        if length <= self.window:
            return [0]
        step = self.window - self.overlap
        grid = _GRID if step >= _GRID else 1
        last = -(-(length - self.window) // grid)  # the last window, on the grid, may be shorter than the others
        count = -(-last // (step // grid))
        return [i * last // count * grid for i in range(count + 1)]

    def _fade(self, length: int) -> Floats:
        """The weight of a window along one side: 1 inside, falling towards both ends, never 0."""
        inward = np.minimum(np.arange(length), np.arange(length)[::-1]) + 1.0
        return np.minimum(inward / (self.overlap + 1), 1).astype(np.float32)
