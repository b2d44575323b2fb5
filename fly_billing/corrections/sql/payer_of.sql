-- One row: the organization's payer in this month, its billing group, and the groups of all organizations it pays for.
with payer as (
    select coalesce(l.payer_id, o.id) as id
    from organizations as o
    left join organization_links as l
        on l.organization_id = o.id and daterange(l.first_month, l.last_month, '[]') @> cast(:month as date)
    where o.id = :organization_id
)

select
    payer.id as payer_id, o.billing_group,
    array(
        select distinct m.billing_group
        from organizations as m
        left join organization_links as l
            on l.organization_id = m.id and daterange(l.first_month, l.last_month, '[]') @> cast(:month as date)
        where coalesce(l.payer_id, m.id) = payer.id
    ) as groups
from payer
join organizations as o on o.id = payer.id
