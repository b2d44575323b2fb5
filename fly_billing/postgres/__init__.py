"""The billing database: connections, statements, migrations and rights."""
