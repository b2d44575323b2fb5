"""Pure rules about rows of the platform's database."""
