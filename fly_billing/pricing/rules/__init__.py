"""The rules that rate quantities and choose prices and tax rates. Pure."""
