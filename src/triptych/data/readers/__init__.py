"""One module for each kind of file; each reads one split of one data set into a `Part`."""
