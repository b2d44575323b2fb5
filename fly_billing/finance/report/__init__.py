"""The report of a month for finance: one HTML file with tables and plots, and nothing from outside."""
