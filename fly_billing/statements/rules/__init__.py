"""The pure rules of statements: their data and sentences, spend, and the recalculation that explains an item."""
