"""Corrections: what a final month would come to today, booked as adjustments that add up to the difference."""
