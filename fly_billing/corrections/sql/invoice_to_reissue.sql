-- One row, or none: the organization's latest invoice of the month, if it is final and ours. `may_be_in_stripe`: false
-- only if its sync certainly did not finalize it there, or if Stripe reported it void. `is_corrected`: a credit note or
-- another final invoice includes a difference of it, which a reissued invoice would charge again. `draft_left`: its draft
-- in Stripe.
with latest as (
    select * from invoices where organization_id = :organization_id and month = :month order by revision desc limit 1
)

select
    i.id, i.revision, i.status, o.billing_group, coalesce(s.state, 'not sent') as state,
    case when not voided.there then s.stripe_invoice_id end as draft_left,
    not voided.there and (
        i.status not in ('finalized', 'void')
        or coalesce(s.state, 'pending') not in ('pending', 'drafted', 'filled', 'verified', 'failed', 'skipped_zero')
        or exists (
            select from stripe_attempts as a
            where a.invoice_id = i.id and a.step = 'finalize' and a.outcome is distinct from 'not_applied'
        )
    ) as may_be_in_stripe,
    exists (
        select from adjustments as a
        left join invoice_items as t on t.adjustment_id = a.id
        left join invoices as holder on holder.id = t.invoice_id
        where a.invoice_id = i.id
            and (num_nonnulls(a.credit_note_id, a.credit_request_id) > 0 or holder.status not in ('open', 'void'))
    ) as is_corrected
from latest as i
join organizations as o on o.id = i.organization_id
left join stripe_invoices as s on s.invoice_id = i.id
cross join lateral (
    select i.status = 'void' and exists (
        select from stripe_events as e
        where e.invoice_id = i.id and e.object_id = s.stripe_invoice_id and e.type = 'invoice.voided'
    ) as there
) as voided
where i.status <> 'open' and i.origin = 'billed'
