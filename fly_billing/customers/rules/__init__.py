"""What an organization and each of its terms may look like. Pure; the writers check it against the database."""
