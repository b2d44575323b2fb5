"""What a statement says, and how an item's amount is recalculated and explained. Pure."""
