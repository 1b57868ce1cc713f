"""What was found, in sentences that say how sure they are."""
