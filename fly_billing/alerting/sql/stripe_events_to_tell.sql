-- stripe_events_to_tell
-- One row per invoice and kind of trouble that nobody was told of yet: the newest word on it. Left out: what is over, and
-- what people know (an invoice that fails again for the same cause).
select distinct on (e.invoice_id, e.type)
    e.invoice_id, e.code, e.operator_text, i.organization_id, to_char(i.month, 'YYYY-MM') as month, i.currency,
    i.total_cents,
    case when e.type = 'invoice.payment_failed' then e.error_code end as reason
from stripe_events as e
join invoices as i on i.id = e.invoice_id
left join payment_failures as p on p.invoice_id = i.id
where e.code is not null and e.alerted_at is null
    and (e.type not in ('invoice.payment_failed', 'invoice.finalization_failed') or e.code = p.code)
    and (e.code <> 'uncollectible' or i.status = 'uncollectible')
    and not exists (
        select from stripe_events as told
        where told.invoice_id = e.invoice_id and told.code = e.code and told.alerted_at is not null
    )
order by e.invoice_id, e.type, e.created_at desc, e.id
