"""What the command line does, as functions of Python, and what they give back."""
