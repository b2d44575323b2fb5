-- One row: the last landing, the last invoice made final, the last comparison with Stripe (null: never), and whether an
-- invoice that can still change (unpaid, or sent since :since) has been in Stripe since before :before.
select
    (select max(landed_at) from landing_days) as landing,
    (select max(finalized_at) from invoices where origin = 'billed') as close,
    (select max(swept_at) from stripe_reconciliations) as reconciliation,
    exists (
        select from stripe_invoices as s
        join invoices as i on i.id = s.invoice_id
        where s.state = 'finalized' and s.finalized_at < :before
            and (i.status = 'finalized' or s.finalized_at >= :since)
    ) as is_reconciliation_due
