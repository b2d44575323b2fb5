-- One row per adjustment of an earlier month that no other invoice has. A void invoice keeps what it billed, but for the
-- one that is made in its place. Left out: adjustments of an invoice that is void itself: nothing of it is owed any more,
-- and one made in its place has the difference in it.
select a.organization_id, a.id, a.month, a.product, a.description, a.amount, a.currency, a.causes
from adjustments as a
where a.organization_id = any (:organizations) and a.month < :month and a.credit_note_id is null
    and not exists (select from invoices as i where i.id = a.invoice_id and i.status = 'void')
    and not exists (
        select from invoice_items as t
        join invoices as holder on holder.id = t.invoice_id
        where t.adjustment_id = a.id and not (holder.month = :month and holder.status in ('open', 'void'))
    )
order by a.organization_id, a.month, a.made_at, a.id
