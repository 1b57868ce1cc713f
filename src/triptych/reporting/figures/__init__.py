"""One function a figure, drawn from what a run folder keeps."""
