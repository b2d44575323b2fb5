"""The pure rules of dunning."""
