"""Figures, tables, findings and section of a study."""
