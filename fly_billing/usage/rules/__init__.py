"""Rules for the cells of usage files, and for groups of dimensions. Pure."""
