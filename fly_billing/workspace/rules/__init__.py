"""Rules of a workspace, pure: the kinds of its records, mistakes between them, and the changes that a plan has."""
