"""Measuring a trained method by what it can do; `suite` is the way in."""
