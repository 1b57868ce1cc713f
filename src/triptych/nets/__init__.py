"""Networks, and their initial values. No losses here."""
