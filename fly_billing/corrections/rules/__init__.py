"""What differs, what it gives back, and which corrections a person must approve. Pure."""
