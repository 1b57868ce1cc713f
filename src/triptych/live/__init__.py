"""A local page that follows runs and studies while they train."""
