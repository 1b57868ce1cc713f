"""All three panels in one folder: planned by scale, timed on this machine, carried out, shown on one page."""
