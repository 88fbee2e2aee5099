"""From a file to an `Image`, and the `Frame` between its grid and a network's."""
