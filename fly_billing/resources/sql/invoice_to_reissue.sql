-- One row: the organization's latest invoice of the month that is final and ours; none where there is none. It may be in
-- Stripe unless its sync has not come to finalizing it there, for certain. It is corrected where a credit note or another
-- final invoice has a difference of it: one made in its place would charge that twice.
select
    i.id, i.revision, i.status, o.billing_group, s.stripe_invoice_id, coalesce(s.state, 'not sent') as state,
    (
        i.status <> 'finalized'
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
        where a.invoice_id = i.id and (a.credit_note_id is not null or holder.status not in ('open', 'void'))
    ) as is_corrected
from invoices as i
join organizations as o on o.id = i.organization_id
left join stripe_invoices as s on s.invoice_id = i.id
where i.organization_id = :organization_id and i.month = :month and i.status not in ('open', 'void')
    and i.origin = 'billed'
order by i.revision desc
limit 1
