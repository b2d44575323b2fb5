"""Rules for the cells of usage files, and for dimensions that are counted together. Pure."""
