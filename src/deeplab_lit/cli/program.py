"""The program ``deeplab-lit``: its first argument names a command, which gets the other arguments."""

from __future__ import annotations

import runpy
import sys

from deeplab_lit.cli.commands import COMMANDS
from deeplab_lit.utils.errors import UserError, closest


def main() -> None:
    """Run ``deeplab-lit COMMAND ...`` as ``python -m deeplab_lit.COMMAND ...``."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name.strip("-").lower() in ("h", "help"):
        from deeplab_lit.cli.entry_point import end_with_the_reader
        from deeplab_lit.cli.help import program_text

        end_with_the_reader()
        print(program_text())
    elif name == "-sc":
        from deeplab_lit.cli.completion import complete

        try:
            print(complete(None, " ".join(sys.argv[2:])))
        except UserError as error:
            sys.exit(f"error: {error}")
    elif name in COMMANDS:
        del sys.argv[1]
        # run as ``python -m`` does, so that child processes of Lightning or multiprocessing run the same command
        runpy.run_module(f"deeplab_lit.{name}", run_name="__main__", alter_sys=True)
    elif name.startswith("-") and (near := closest(name, ["--help"])):
        sys.exit(f"error: {name} is no option.{near}")
    elif "=" in name or name.startswith(("-", "+", "~")):
        sys.exit(
            f"error: no command is named before {name!r}: type deeplab-lit COMMAND {name}, such as deeplab-lit train "
            f"{name}; deeplab-lit --help lists the commands."
        )
    else:
        sys.exit(f"error: {name!r} is no command: choose one of {', '.join(COMMANDS)}.{closest(name, COMMANDS)}")


if __name__ == "__main__":
    main()
