"""How likely a model finds images: bounds and importance estimates."""
