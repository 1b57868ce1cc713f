"""The report as one HTML file: what runs and studies found, with nothing to fetch and nothing to serve."""
