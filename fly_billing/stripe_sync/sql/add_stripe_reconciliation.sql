-- No rows. One look at what Stripe holds of a month.
insert into stripe_reconciliations (
    month, swept_at, run_id, invoices_here, invoices_in_stripe, totals_here, totals_in_stripe, discrepancies
)
values (
    :month, :now, :run_id, :here, :there,
    cast(:totals_here as jsonb), cast(:totals_there as jsonb), cast(:discrepancies as jsonb)
)
