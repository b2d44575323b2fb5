-- Up to the agreed minimum of the month, after discounts. Goodwill (a one-off item below zero) does not count.
insert into lines
select
    m.organization_id, m.currency, 'minimum', 'Commitments', m.description, 1, 'item',
    m.amount - coalesce(l.amount, 0), null, null, null, null, null, null, m.id
from commitments as m
left join (
    select organization_id, sum(amount) as amount
    from lines
    where kind <> 'one_off' or amount >= 0
    group by organization_id
) as l on l.organization_id = m.organization_id
where
    m.kind = 'minimum' and m.first_month <= :month and coalesce(m.last_month >= :month, true)
    and m.amount > coalesce(l.amount, 0)
