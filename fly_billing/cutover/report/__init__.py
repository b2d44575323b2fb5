"""The report of a comparison: one HTML file to sign, and a CSV file of all organizations."""
