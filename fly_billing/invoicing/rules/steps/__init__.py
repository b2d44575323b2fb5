"""The steps that an invoice is made in, one to a file; their order is in `invoicing.rules.assembly`."""
