"""fly_billing: compiles usage at home, makes the invoices at home, syncs only the finished invoice to Stripe."""
