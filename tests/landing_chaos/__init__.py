"""A month lands in several processes that are killed at random. Run by `make chaos-landing`."""
