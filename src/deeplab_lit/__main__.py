"""The program ``deeplab-lit``, run as ``python -m deeplab_lit COMMAND ...``."""

from deeplab_lit.cli.program import main

main()
