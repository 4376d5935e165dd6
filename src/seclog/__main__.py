"""`python -m seclog` is the command `seclog`."""

from seclog.cli import main

if __name__ == "__main__":
    main()
