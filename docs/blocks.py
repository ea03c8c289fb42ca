"""A block of a docs page that a script writes: what stands from ``<!-- begin NAME -->`` to ``<!-- end of it -->``."""

import re
from pathlib import Path

from deeplab_lit.utils.files import write_text


def write_block(page: Path, name: str, text: str) -> None:
    """Put a text into the block of this name."""
    begin, end = f"<!-- begin {name} -->", "<!-- end of it -->"
    filled, count = re.subn(
        rf"{begin}.*?{end}", lambda _: f"{begin}\n\n{text}\n\n{end}", page.read_text(), flags=re.DOTALL
    )
    assert count == 1, f"{page} has no block {name}"
    write_text(page, filled)
