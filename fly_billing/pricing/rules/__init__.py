"""How quantities are rated. Pure."""
