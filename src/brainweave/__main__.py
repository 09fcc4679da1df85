"""`python -m brainweave` is the command line."""

from brainweave.cli import main

main()
