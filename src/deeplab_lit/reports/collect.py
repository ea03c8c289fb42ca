"""What the runs of a table came to, row by row and scale by scale."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deeplab_lit.training.runs import Run, read_config
from deeplab_lit.utils.errors import UserError

SCALES = ("full", "subset", "mini")
MEASURES = {"miou": "mIoU", "crf_miou": "mIoU with CRF", "params": "parameters, M", "speed": "images/s"}
"""What a row may have a published value of, and what runs are compared by."""


@dataclass(frozen=True)
class Result:
    """A finished run of a row.

    Attributes:
        run: its directory.
        config: resolved.
        content: what result.json holds.
    """

    run: Run
    config: Mapping[str, Any]
    content: Mapping[str, Any]

    @property
    def seed(self) -> int:
        return int(self.config["seed"])

    @property
    def steps(self) -> int:
        return int(self.content["steps"])

    @property
    def data(self) -> str:
        """What it was trained on: the kind of data set, the name of its folder, how many images."""
        words = [str(self.config["data"]["_target_"]).rsplit(".", 1)[-1]]
        if root := self.config["data"].get("root"):
            words.append(Path(root).name)
        if count := self.content.get("images"):
            words.append(f"({count['train']})")
        return " ".join(words)

    def value(self, measure: str) -> float | None:
        """mIoU in percent, parameters in millions, validation images a second; None where it was not measured."""
        content = self.content
        found = {
            "miou": content.get("miou"),
            "crf_miou": content.get("crf", {}).get("miou"),
            "params": content.get("params"),
            "speed": content.get("images_per_second"),
        }[measure]
        factor = {"miou": 100, "crf_miou": 100, "params": 1e-6, "speed": 1}[measure]
        return None if found is None else float(found) * factor


@dataclass
class Row:
    """A row of a published table.

    Attributes:
        name, notes, marks, published: of its file in experiments/.
        results: by scale, one for each seed.
        failures: by scale, why it has none.
        begun: by scale, the steps done of a run that has not ended, ``412/800``.
    """

    name: str
    notes: str
    marks: list[str]
    published: dict[str, float]
    results: dict[str, list[Result]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    begun: dict[str, str] = field(default_factory=dict)

    def status(self, scale: str) -> str:
        """``not run``, ``begun 412/800``, ``failed``, or the scale itself: full, subset or mini."""
        if self.results.get(scale):
            return scale
        if scale in self.begun:
            return f"begun {self.begun[scale]}"
        return "failed" if scale in self.failures else "not run"

    def values(self, scale: str, measure: str) -> list[float]:
        """One for each seed."""
        found = [result.value(measure) for result in self.results.get(scale, [])]
        return [each for each in found if each is not None]

    def mean(self, scale: str, measure: str) -> float | None:
        found = self.values(scale, measure)
        return statistics.fmean(found) if found else None

    def spread(self, scale: str, measure: str) -> float | None:
        """The standard deviation over seeds; None for one."""
        found = self.values(scale, measure)
        return statistics.stdev(found) if len(found) > 1 else None


@dataclass
class Report:
    """A published table with what has been run of it."""

    table: str
    rows: list[Row]

    @property
    def scales(self) -> list[str]:
        """Those that something was run or tried at; full always, so that what is missing can be seen."""
        return [
            scale for scale in SCALES if scale == "full" or any(row.status(scale) != "not run" for row in self.rows)
        ]

    @property
    def measures(self) -> list[str]:
        """Those with a published value, and what runs have of mIoU."""
        shown = {key for row in self.rows for key in row.published}
        shown |= {m for m in ("miou", "crf_miou") for row in self.rows for s in SCALES if row.values(s, m)}
        return [measure for measure in MEASURES if measure in shown]

    def gain(self, index: int, value: Callable[[Row], float | None]) -> float | None:
        """How much more a row has than the one that it adds to: the last before it whose marks are among its own.

        In a table without marks that is the row before.
        """
        row, now = self.rows[index], value(self.rows[index])
        no_marks = not any(each.marks for each in self.rows)
        for before in reversed(self.rows[:index]):
            if no_marks or set(before.marks) < set(row.marks):
                then = value(before)
                return None if now is None or then is None else now - then
        return None


def collect(table: str, rows: Sequence[Mapping[str, Any]], folder: Path) -> Report:
    """Read the runs of a table.

    Args:
        table: its name.
        rows: the ``row`` of each row's config.
        folder: of the table's runs, with a folder for each row.

    Raises:
        UserError: a result cannot be read.
    """
    found = [Row(str(each["name"]), str(each["notes"]), list(each["marks"]), dict(each["published"])) for each in rows]
    for row in found:
        newest: dict[tuple[str, int], Result] = {}
        for path in sorted((folder / row.name).glob("*/result.json")):
            result = _read(path)
            newest[result.config["row"]["scale"], result.seed] = result
        for (scale, _), result in sorted(newest.items()):
            row.results.setdefault(scale, []).append(result)
        for path in sorted((folder / row.name).glob("*/metrics.csv")):
            if not (path.parent / "result.json").is_file():
                config = read_config(Run(path.parent))
                row.begun[config["row"]["scale"]] = f"{_last_step(path)}/{config['max_steps']}"
    for scale in SCALES:
        path = folder / f"sweep-{scale}.json"
        for end in json.loads(path.read_text()) if path.is_file() else []:
            for row in found:
                if row.name == end["row"] and end["state"] == "failed":
                    row.failures[scale] = end["reason"]
    return Report(table, found)


def _last_step(path: Path) -> int:
    last = path.read_text().rstrip().rsplit("\n", 1)[-1].split(",")[0]
    return int(last) + 1 if last.isdigit() else 0


def _read(path: Path) -> Result:
    try:
        run = Run(path.parent)
        return Result(run, read_config(run), json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): remove its folder, and the row runs again.") from error
