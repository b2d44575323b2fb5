-- One row per credit of the organization that is not used up and has not expired, in the order in which they are drawn (those that pay after tax last):
-- what the ledger and its open invoices (their draws are not in the ledger yet) leave of it.
with balances as (
    select
        g.*,
        (select sum(e.amount) from credit_entries as e where e.grant_id = g.id)
        + coalesce((
            select sum(t.amount)
            from invoice_items as t
            join invoices as i on i.id = t.invoice_id
            where t.credit_grant_id = g.id and i.status = 'open'
        ), 0) as left_over
    from credit_grants as g
    where g.organization_id = :organization_id and (g.expires_at is null or g.expires_at > :now)
)

select description, currency, amount, left_over, expires_at, pays
from balances
where left_over > 0
order by pays = 'gross', priority, expires_at nulls last, granted_at, id
