"""`python -m lexitrain` is the `lexitrain` command."""

from lexitrain.cli.main import main

main()
