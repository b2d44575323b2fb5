"""The steps that make an invoice, one per file. `invoicing.rules.assembly` lists them in order."""
