"""The rules for an organization and each of its terms. Pure; the writers check it against the database."""
