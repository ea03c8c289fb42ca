"""Server package: what a test server takes, and what the checks of packages share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from deeplab_lit.data.image_files import FORMATS, reason
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.inference.output_folder import Outputs
from deeplab_lit.utils.errors import UserError

Images = Mapping[str, Path]
"""The path of each image, by its name."""

UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What Pillow raises for a file that it cannot read."""


@dataclass(frozen=True)
class Server:
    """A test server: the classes of its data set, and how its package is made and checked.

    Attributes:
        of: the name of the data set.
        labels: its classes.
        file: the name of the package.
        check_images: raises UserError for images whose masks the server does not take.
        pack: writes the package of the masks of images for a competition.
        validate: raises UserError for a package that does not fit the images and the competition.
    """

    of: str
    labels: LabelSet
    file: str
    check_images: Callable[[Images], None]
    pack: Callable[[Outputs, Images, Path, int], None]
    validate: Callable[[Path, Images, int], None]


def cannot_be_read(error: Exception) -> str:
    """The fault of a picture for which Pillow raised one of :data:`UNREADABLE`."""
    return f"cannot be read ({reason(error)})"


def size_of(image: Path) -> tuple[int, int]:
    """Width and height in pixels of an image file, turned as its EXIF tag says, from its header alone.

    Raises:
        OSError, SyntaxError, ValueError, Image.DecompressionBombError: it cannot be read.
    """
    with Image.open(image, formats=FORMATS) as picture:
        turned = picture.getexif().get(0x0112) in (5, 6, 7, 8)
        return picture.size[::-1] if turned else picture.size


def refuse_unfit(package: Path, faults: Sequence[str]) -> None:
    """Raise UserError with the first of the faults of a package, if there are any."""
    if faults:
        more = f" (and {len(faults) - 5} more faults)" if len(faults) > 5 else ""
        raise UserError(f"{package} is not fit for the server: {'; '.join(faults[:5])}{more}.")
