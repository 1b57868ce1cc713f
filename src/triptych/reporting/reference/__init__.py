"""The reference report: its numbers and words, and whether a run follows its protocol."""
