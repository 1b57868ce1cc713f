"""Arms × seeds of one experiment, paired: planned from a file, run side by side, compared."""
