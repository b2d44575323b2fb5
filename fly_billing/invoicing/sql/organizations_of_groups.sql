-- One row per organization of these billing groups that existed before the month's end, with its price book in the
-- month.
with held as (
    select distinct on (organization_id) organization_id, price_book
    from organization_history
    where before_month > :month
    order by organization_id, before_month
)

select organizations.id, coalesce(held.price_book, organizations.price_book) as price_book
from organizations
left join held on held.organization_id = organizations.id
where billing_group = any (:groups) and created_at < :month_end
order by organizations.id
