-- stripe_events_recovered
-- One row per invoice whose trouble people were told of, and which is paid (or, where it was that, finalized) by now.
select distinct i.id as invoice_id, i.organization_id, to_char(i.month, 'YYYY-MM') as month, i.currency, i.total_cents,
    'recovered' as code, '' as operator_text, null as reason
from stripe_events as e
join invoices as i on i.id = e.invoice_id
left join stripe_invoices as s on s.invoice_id = i.id
where e.alerted_at is not null and e.recovery_told_at is null and (
    (e.code in ('payment_failed', 'payment_given_up', 'uncollectible') and i.status = 'paid')
    or (e.code = 'finalization_failed' and s.state = 'finalized')
)
order by month, i.organization_id
