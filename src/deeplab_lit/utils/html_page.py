"""HTML pages that need no other file: their template, and pictures inside of them."""

from __future__ import annotations

import base64
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

_KINDS = {".jpg": "image/jpeg", ".png": "image/png"}


def rendered(template: str, **values: Any) -> str:
    """The page of a template, which extends ``utils/html_page.html.j2``.

    Args:
        template: its path below the package.
        values: the template's variables; texts are escaped.
    """
    environment = Environment(
        loader=PackageLoader("deeplab_lit", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template(template).render(**values)


def data_url(content: bytes, ending: str) -> str:
    """A picture's file as the URL of an image; ``ending`` is .jpg or .png."""
    return f"data:{_KINDS[ending]};base64,{base64.b64encode(content).decode()}"
