"""The plain PyTorch network and training loop that a user would write, beside which benchmarks/gpu.py trains.

torchvision's ResNet with holes, its batch normalisation in evaluation mode and not trained, the head of ASPP-L, bf16
by autocast where the device has it, channels last, cuDNN's choice of algorithms, images normalised and pinned
beforehand, the loss on upsampled scores, SGD. With several scales the head's maps are fused by the maximum, and the
fused map and each scale have a loss.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn


class PlainDeepLab(nn.Module):
    """A ResNet with holes and the head ASPP-L.

    Args:
        depth: of the ResNet: 50, 101 or 152.
        classes: classes to score.
        hidden: width of the two hidden layers of each branch; None: a branch is one convolution, as V2 has it on
            ResNet-101.
    """

    def __init__(self, depth: int, classes: int, hidden: int | None = None) -> None:
        super().__init__()
        holes = [False, True, True]
        whole = getattr(torchvision.models, f"resnet{depth}")(weights=None, replace_stride_with_dilation=holes)
        width = whole.fc.in_features
        self.trunk = nn.Sequential(*list(whole.children())[:-2])  # without pooling and classifier
        self.branches = nn.ModuleList(_branch(width, hidden, classes, rate) for rate in (6, 12, 18, 24))
        for layer in self.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.requires_grad_(False)

    def train(self, mode: bool = True) -> PlainDeepLab:
        super().train(mode)
        for layer in self.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eval()
        return self

    def forward(self, image: Tensor) -> Tensor:
        features = self.trunk(image)
        return sum(branch(features) for branch in self.branches)  # type: ignore[return-value]

    def maps(self, image: Tensor, scales: Sequence[float]) -> list[Tensor]:
        """The maps that have a loss: of the one scale, or the fused one and that of each scale."""
        if list(scales) == [1.0]:
            return [self(image)]
        each = [self(_scaled(image, scale)) for scale in scales]
        size = max(map_.shape[-2:] for map_ in each)
        same = [F.interpolate(map_, size, mode="bilinear", align_corners=True) for map_ in each]
        return [torch.stack(same).amax(0), *each]


def _scaled(image: Tensor, scale: float) -> Tensor:
    """The image at a scale, with its corners on each other: 321 becomes 241 and 161."""
    size = [round((side - 1) * scale) + 1 for side in image.shape[-2:]]
    return F.interpolate(image, size, mode="bilinear", align_corners=True)


def _branch(width: int, hidden: int | None, classes: int, rate: int) -> nn.Module:
    if hidden is None:
        return nn.Conv2d(width, classes, 3, padding=rate, dilation=rate)
    return nn.Sequential(
        nn.Conv2d(width, hidden, 3, padding=rate, dilation=rate), nn.ReLU(inplace=True), nn.Dropout(0.5),
        nn.Conv2d(hidden, hidden, 1), nn.ReLU(inplace=True), nn.Dropout(0.5),
        nn.Conv2d(hidden, classes, 1),
    )  # fmt: skip


class PlainLoop:
    """A training loop over one batch.

    Args:
        network: in any state.
        image: float32 (N, 3, H, W), normalised, on the host.
        mask: int64 (N, H, W), void 255, on the host.
        scales: of the input.
        device: where it trains.
        half: the type of autocast; None: float32.
    """

    def __init__(
        self,
        network: PlainDeepLab,
        image: Tensor,
        mask: Tensor,
        scales: Sequence[float],
        device: torch.device,
        half: torch.dtype | None,
    ) -> None:
        torch.backends.cudnn.benchmark = True
        self.network = network.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        pinned = device.type == "cuda"
        self._batch = (image.pin_memory(), mask.pin_memory()) if pinned else (image, mask)
        self._scales, self._device, self._half = scales, device, half
        trained = [each for each in network.parameters() if each.requires_grad]
        self._optimizer = torch.optim.SGD(trained, lr=0.0, momentum=0.9, weight_decay=5e-4)

    def step(self) -> Tensor:
        image = self._batch[0].to(self._device, non_blocking=True, memory_format=torch.channels_last)
        mask = self._batch[1].to(self._device, non_blocking=True)
        self._optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self._device.type, self._half, enabled=self._half is not None):
            maps = self.network.maps(image, self._scales)
            full = [F.interpolate(each, mask.shape[-2:], mode="bilinear", align_corners=True) for each in maps]
            loss = sum(F.cross_entropy(each, mask, ignore_index=255) for each in full)
        loss.backward()  # type: ignore[union-attr]
        self._optimizer.step()
        return loss.detach()  # type: ignore[union-attr]

    def seconds(self, warm: int, steps: int) -> float:
        """Seconds of a step: the mean of ``steps`` after ``warm`` ones."""
        self._repeat(warm)
        wait(self._device)
        start = time.perf_counter()
        self._repeat(steps)
        wait(self._device)
        return (time.perf_counter() - start) / steps

    def _repeat(self, steps: int) -> None:
        for _ in range(steps):
            self.step()


def wait(device: torch.device) -> None:
    """Wait until a device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matmul_peak(device: torch.device, side: int, half: torch.dtype) -> float:
    """Operations a second of the product of two square matrices, the best of several."""
    left, right = (torch.randn(side, side, device=device, dtype=half) for _ in range(2))
    products: Callable[[], None] = lambda: [left @ right for _ in range(10)] and None  # noqa: E731
    best = float("inf")
    for _ in range(6):  # the first warms up
        wait(device)
        start = time.perf_counter()
        products()
        wait(device)
        best = min(best, time.perf_counter() - start)
    return 10 * 2 * side**3 / best
