"""The workspace: a folder of files, kept in git, that names organizations, price books, terms and usage sources.

`files` reads it, `plan` compares it with the billing database, and `apply` writes the difference in one transaction.
docs/workspace.md describes the format. Not here: the rules of a term (`customers`), and price books (`pricing`).
"""
