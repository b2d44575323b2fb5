"""The differences of a final invoice, the credits and taxes to return, and the correction guard. Pure."""
