"""`python -m xiqa` is the command `xiqa`."""

from xiqa.cli import main

if __name__ == "__main__":
    main()
