"""What moves through latent space do to images: coordinates, directions, interpolation."""
