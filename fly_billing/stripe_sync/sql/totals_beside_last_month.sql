-- One row per organization and currency: cents of the month, and of the month before (null: no final invoice).
-- Of the month also what is not finalized yet, so that one partition billed by itself is no collapse of the whole;
-- of the month before only what is final. Void invoices are left out, imported ones are not; so are
-- amounts that nobody can owe (`bounds`): one would hide what all others come to.
select
    organization_id, currency,
    cast(coalesce(sum(total_cents) filter (where month = :month), 0) as bigint) as cents,
    cast(sum(total_cents) filter (where month = :last_month) as bigint) as last_cents
from invoices
where
    (
        (month = :month and status <> 'void')
        or (month = :last_month and status in ('finalized', 'paid', 'uncollectible'))
    )
    and abs(total_cents) < 1000000000000000
group by organization_id, currency
order by organization_id, currency
