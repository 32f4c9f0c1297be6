"""`python -m interplay.cli`: the command, where its script is not on the path."""

from interplay.cli.entry import main

if __name__ == "__main__":
    main()
