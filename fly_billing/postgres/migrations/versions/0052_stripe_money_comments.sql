-- The asset stripe_money shows its table in Dagster's catalog, which describes every column.
comment on column stripe_money.kind is 'credit_note, refund, dispute, or customer_balance_transaction: a change of the balance.';
comment on column stripe_money.organization_id is 'The organization of the Stripe customer.';
comment on column stripe_money.stripe_invoice_id is 'The Stripe invoice that it is about. Null if there is none.';
comment on column stripe_money.currency is 'ISO 4217.';
comment on column stripe_invoice_amounts.currency is 'ISO 4217.';
