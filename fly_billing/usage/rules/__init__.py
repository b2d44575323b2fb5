"""What a meter's events add up to, and what a cell of a usage file may say. Pure."""
