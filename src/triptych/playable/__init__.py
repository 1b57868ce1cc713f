"""The playable page: trained models exported to plain arrays, and the small JavaScript that runs them."""
