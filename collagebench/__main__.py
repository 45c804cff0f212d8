"""`python -m collagebench` is the `collagebench` command."""

from collagebench.cli import main

main()
