-- One row per credit of these payers that may be drawn in this month. available: its balance in the ledger, less the
-- draws of open invoices of earlier months, which are not in the ledger yet. Used-up credits are included, because the
-- invoice may refund them. :is_final recalculates final invoices: their own draws and later ones do not count. Credits
-- with invalid times are included, so that billing refuses them instead of skipping them.
with balances as (
    select
        g.*,
        (
            select sum(e.amount)
            from credit_entries as e
            left join invoices as i on i.id = e.invoice_id
            where e.grant_id = g.id and (e.invoice_id is null or i.month < :month or not :is_final)
        ) + coalesce((
            select sum(t.amount)
            from invoice_items as t
            join invoices as i on i.id = t.invoice_id
            where t.credit_grant_id = g.id and i.status = 'open' and i.month < :month
        ), 0) as available
    from credit_grants as g
    where g.organization_id = any (:organizations)
        and (g.granted_at < :month_end or g.granted_at = 'infinity')
        and (g.expires_at is null or g.expires_at > :month_start or g.expires_at = '-infinity')
)

select organization_id, id, description, available, currency, granted_at, expires_at, priority, scope, pays
from balances
where available >= 0
order by organization_id, priority, expires_at nulls last, granted_at, id
