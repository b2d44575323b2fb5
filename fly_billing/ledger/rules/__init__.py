"""The pure rules of the ledger: its accounts, and the entries that each event makes."""
