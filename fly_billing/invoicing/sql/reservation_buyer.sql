-- One row: the organization, with who pays for it in one of these months, and the first of them of which its invoice is
-- final; none where there is no such organization.
select
    o.id, o.currency, o.price_book,
    (
        select l.payer_id
        from organization_links as l
        where l.organization_id = o.id and daterange(l.first_month, l.last_month, '[]') && daterange(:first, :last, '[]')
        order by l.first_month
        limit 1
    ) as payer_id,
    (
        select min(i.month)
        from invoices as i
        where i.organization_id = o.id and i.status <> 'open' and i.month between :first and :last
    ) as final_month
from organizations as o
where o.id = :organization_id
