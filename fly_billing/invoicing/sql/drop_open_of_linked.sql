-- No rows. Open invoices of organizations whose payer has them on its own in this month.
delete from invoices as i
using organization_links as l
where i.month = :month and i.status = 'open' and l.organization_id = i.organization_id
    and daterange(l.first_month, l.last_month, '[]') @> cast(:month as date)
