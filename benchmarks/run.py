"""Run the benchmarks and write what they found to benchmarks/README.md, a section each.

python benchmarks/run.py --root VOC2012 --checkpoint best.ckpt --jemalloc libjemalloc.so.2
python benchmarks/run.py --only data crf --root VOC2012       # the other sections stay as they are
"""

from __future__ import annotations

import argparse
import ast
import os
import platform
import re
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

from deeplab_lit.utils.files import write_text

HERE = Path(__file__).parent
README = HERE / "README.md"
WHOLE = {
    "data": "--root --images 100",
    "network": "--compile --memory --runs 3",
    "depthwise": "--runs 4",
    "crf": "--root --checkpoint --images 40 --many 100 --trade-off",
    "crf_compat": "--root --images 10",
    "rows": "--runs 9",
    "evaluate": "--root --checkpoint --images 100",
    "company": "--runs 3",
    "allocator": "--jemalloc --rounds 2 --steps 3",
}
"""The scripts in the order of the page, with their arguments; those without a value get the user's."""

HEAD = """# Benchmarks

Written by `make bench` (`python benchmarks/run.py`) and `make gpu` (`python benchmarks/gpu.py`), a section a script.
They measure and print; nothing asserts a time. Ratios are taken side by side in one run: on another machine the seconds
differ, the ratios much less.
"""
_PACKAGES = ("torch", "torchvision", "numpy", "numba", "opencv-python-headless", "pillow", "albumentations")
_FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16")


def machine() -> str:
    """The processor, what of it matters here, and the versions of what computes."""
    name, flags = platform.processor() or platform.machine(), set()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        text = cpuinfo.read_text()
        name = re.search(r"model name\s*: (.*)", text)[1] if "model name" in text else name
        flags = set((re.search(r"flags\s*: (.*)", text) or ["", ""])[1].split())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    has = ", ".join(flag for flag in _FLAGS if flag in flags)
    versions = ", ".join(f"{package} {version(package)}" for package in _PACKAGES)
    return f"{cores} cores of {name} ({has}); Python {platform.python_version()}, {versions}"


def arguments(given: argparse.Namespace, wanted: str) -> list[str]:
    """The arguments of a script: a user's value after each that has none; left out where the user gives none."""
    words = wanted.split()
    found: list[str] = []
    for number, word in enumerate(words):
        key = word.removeprefix("--")
        if key in ("root", "checkpoint", "jemalloc"):
            found += [word, getattr(given, key)] if getattr(given, key) else []
        elif word.startswith("--") or words[number - 1].startswith("--"):
            found.append(word)
    return found


def section(name: str, given: argparse.Namespace) -> str:
    """Run a script; its part of the page."""
    script = HERE / f"{name}.py"
    told = arguments(given, WHOLE[name])
    print(f"{name}.py {' '.join(told)}", file=sys.stderr)
    done = subprocess.run([sys.executable, str(script), *told], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{name}.py ended with status {done.returncode}: its section stays as it was.")
    return part(name, told, machine(), done.stdout)


def part(name: str, told: list[str], where: str, output: str) -> str:
    """The part of the page about a script: what it says of itself, its command, the machine, and what it printed."""
    script = HERE / f"{name}.py"
    first, _, rest = (ast.get_docstring(ast.parse(script.read_text())) or "").partition("\n")
    shown = " ".join(Path(word).name if "/" in word else word for word in told)
    command = f"python benchmarks/{name}.py {shown}".strip()
    output = re.sub(r"\n{3,}", "\n\n", output).strip()
    return (
        f"## {name}.py\n\n{first}\n\n{rest.strip()}\n\n```bash\n{command}\n```\n\n"
        f"{time.strftime('%Y-%m-%d')}, {where}.\n\n{output}\n"
    )


def put(name: str, text: str) -> None:
    """Put the part of a script on the page; the others stay as they are."""
    found = {**sections(README.read_text()), name: text}
    write_text(README, "\n".join([HEAD, *(found[each] for each in (*WHOLE, "gpu") if each in found)]))


def sections(text: str) -> dict[str, str]:
    """The page's sections by their script."""
    parts = re.split(r"^(?=## \w+\.py)", text, flags=re.MULTILINE)[1:]
    return {part[3 : part.index(".py")]: part.rstrip() + "\n" for part in parts}


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(WHOLE), default=list(WHOLE))
    parser.add_argument("--root", help="a folder in the VOC layout")
    parser.add_argument("--checkpoint", help="a trained network of VOC's classes")
    parser.add_argument("--jemalloc", help="the library's file")
    given = parser.parse_args(words)
    for name in given.only:
        put(name, section(name, given))


if __name__ == "__main__":
    main()
