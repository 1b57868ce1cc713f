"""What features are good for: neighbours, probes, geometry and a diagnosis of collapse."""
