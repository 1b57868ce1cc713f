"""What methods of a kind have in common: networks, options and capabilities, and no objective, so that none of it is a method."""
