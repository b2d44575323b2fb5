-- One row per final invoice and change of terms of its month on which nobody decided yet: whose term it is (`book`: a price
-- of that book), what changed, when and by whom. `month` is its start.
select
    i.id as invoice_id, i.organization_id, cast(i.month as timestamp) at time zone 'UTC' as month, c.organization_id as about,
    c.book, c.what, c.changed_at, c.changed_by
from term_changes as c
join invoices as i
    on i.status not in ('open', 'void') and i.origin = 'billed' and i.month >= c.first_month
    and (c.last_month is null or i.month <= c.last_month)
    and (
        i.organization_id = c.organization_id
        or exists (
            select from organization_links as l
            where l.organization_id = c.organization_id and l.payer_id = i.organization_id
                and daterange(l.first_month, l.last_month, '[]') @> i.month
        )
        or exists (
            select from invoice_items as t
            join prices as p on p.id = t.price_id
            where t.invoice_id = i.id and p.book = c.book
        )
    )
where (cast(:month as date) is null or i.month = :month)
    and c.id > coalesce((select max(d.up_to_change) from term_decisions as d where d.invoice_id = i.id), 0)
order by i.month, i.organization_id, c.id
