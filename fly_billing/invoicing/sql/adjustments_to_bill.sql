-- One row per adjustment of an earlier month that no other invoice has, with who paid that month: `payer_id`, one of these
-- organizations, gets it. A void invoice keeps what it billed, but for the one that is made in its place. Left out:
-- adjustments of an invoice that is void itself: nothing of it is owed any more, and one made in its place has the
-- difference in it.
select
    a.payer_id as organization_id, a.organization_id as about, a.id, a.month, a.product, a.description, a.amount, a.currency,
    a.causes, coalesce(g.pays = 'gross', false) as is_after_tax
from adjustments as a
left join credit_grants as g on g.id = a.credit_grant_id
where a.payer_id = any (:organizations) and a.month < :month and a.credit_note_id is null
    and not exists (select from invoices as i where i.id = a.invoice_id and i.status = 'void')
    and not exists (
        select from invoice_items as t
        join invoices as holder on holder.id = t.invoice_id
        where t.adjustment_id = a.id and not (holder.month = :month and holder.status in ('open', 'void'))
    )
order by a.payer_id, a.month, a.made_at, a.id
