"""Pure rules about failing checks: whose a wrong row is, how they are listed, and which ones are new."""
