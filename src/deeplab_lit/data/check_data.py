"""Check of a whole data set: a report on the screen and in files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deeplab_lit.config.command_schemas import CheckDataConfig
from deeplab_lit.data.drawing import frequency_chart, save_png
from deeplab_lit.data.inspection import Report, SplitReport, inspect
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.data.source import open_source
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.files import new_folder, write_json, write_text
from deeplab_lit.utils.progress import preparing
from deeplab_lit.utils.terminal import table

_SHOWN = 20  # lines of each kind on the screen; report.txt has all lines


def check_data(config: CheckDataConfig) -> Report:
    """Check a data set and write report.txt, report.json and frequencies.png into a new folder below the output.

    Raises:
        UserError: the data set cannot be listed, or it has bad files; in the second case the report is written first.
    """
    against = None if config.against is None else Path(config.against).expanduser()
    with preparing() as progress:
        source = open_source(config.data, progress)
        report = inspect(source, progress, against)
    folder, labels = new_folder(Path(config.output).expanduser() / config.name), source.labels
    write_json(folder / "report.json", _as_json(report, labels))
    pixels = {name: split.pixels for name, split in report.splits.items()}
    save_png(frequency_chart(pixels, labels), folder / "frequencies.png")
    write_text(folder / "report.txt", _as_text(report, labels))
    print(_as_text(report, labels, _SHOWN))
    print(f"report: {folder}")
    if report.bad:
        raise UserError(f"{len(report.bad)} bad file(s); all are listed in {folder / 'report.txt'}.")
    return report


def _as_text(report: Report, labels: LabelSet, most: int | None = None) -> str:
    parts = []
    for name, split in report.splits.items():
        parts.append(_about(name, split))
    parts.append(_table(report, labels))
    kinds = {
        "bad files": report.bad,
        "findings": report.findings,
        "the same or nearly the same picture twice": _pairs(report.shared),
    }
    if report.elsewhere is not None:
        kinds["also in the other data set"] = _pairs(report.elsewhere)
    for title, lines in kinds.items():
        shown = lines if most is None else lines[:most]
        rest = [f"... and {len(lines) - len(shown)} more in report.txt"] if len(shown) < len(lines) else []
        parts.append("\n".join([f"{title}: {len(lines)}", *(f"  {line}" for line in [*shown, *rest])]))
    return "\n\n".join(parts) + "\n"


def _pairs(pairs: list[tuple[str, str]]) -> list[str]:
    return [f"{a} = {b}" for a, b in pairs]


def _about(name: str, split: SplitReport) -> str:
    heights, widths = zip(*split.sizes, strict=True) if split.sizes else ((0,), (0,))
    sizes = f"{len(split.sizes)} sizes from {min(widths)}x{min(heights)} to {max(widths)}x{max(heights)}"
    if len(split.sizes) == 1:
        sizes = f"each {widths[0]}x{heights[0]}"
    return (
        f"{name}: {split.images} images, {sizes}, {_kinds(split.modes)}; masks: {_kinds(split.palettes)}; void "
        f"{100 * split.void:.1f} % of the pixels"
    )


def _kinds(counts: Any) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in counts.most_common()) or "none"


def _table(report: Report, labels: LabelSet) -> str:
    titles = ["class", *(title for name in report.splits for title in (f"{name} pixels", "images"))]
    lines = []
    for i, label in enumerate(labels.names):
        cells = []
        for split in report.splits.values():
            cells += [f"{100 * split.pixels[i] / max(1, split.pixels.sum()):.2f} %", str(split.appears[i])]
        lines.append([label, *cells])
    return table(titles, lines, ())


def _as_json(report: Report, labels: LabelSet) -> dict[str, Any]:
    return {
        "splits": {
            name: {
                "images": split.images,
                "bad": split.bad,
                "sizes": {f"{width}x{height}": count for (height, width), count in split.sizes.items()},
                "pixels": dict(zip(labels.names, split.pixels.tolist(), strict=True)),
                "images_with": dict(zip(labels.names, split.appears.tolist(), strict=True)),
                "void_share": split.void,
                "masks": dict(split.palettes),
                "image_modes": dict(split.modes),
            }
            for name, split in report.splits.items()
        },
        "findings": report.findings,
        "same_picture": [list(pair) for pair in report.shared],
        "also_elsewhere": report.elsewhere and [list(pair) for pair in report.elsewhere],
    }
