"""``python -m deeplab_lit COMMAND ...``: the program ``deeplab-lit``."""

from deeplab_lit.cli.program import main

main()
