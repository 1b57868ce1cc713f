"""What features are good for: neighbours, probes, geometry and a verdict on collapse."""
