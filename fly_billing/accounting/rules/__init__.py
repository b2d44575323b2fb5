"""The pure rules of accounting: when revenue is recognized, and the lines of a journal."""
