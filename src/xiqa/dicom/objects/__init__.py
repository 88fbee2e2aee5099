"""One module for each kind of object: a function from a `Case` to a data set, made with highdicom."""
