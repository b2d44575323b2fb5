-- name: listed_memberships
-- One row per membership of an organization in a price group, of those that have :holder as their organization or group
-- (null: all), and that are in force at :at or begin later (null: past ones, too). `price_book` is the book that the
-- organization is billed by now; `prices` are the negotiated prices of the group in that book.
select
    m.price_group, m.organization_id, o.name, o.price_book, m.effective_from, m.effective_until,
    (
        select count(*) from negotiated_prices as n
        where n.price_group = m.price_group and n.book = o.price_book
            and (n.effective_until is null or n.effective_until > m.effective_from)
            and (m.effective_until is null or n.effective_from < m.effective_until)
    ) as prices
from price_group_members as m
join organizations as o on o.id = m.organization_id
where (cast(:holder as text) is null or :holder in (m.organization_id, m.price_group))
    and (cast(:at as timestamptz) is null or m.effective_until is null or m.effective_until > :at)
order by m.price_group, m.organization_id, m.effective_from;

-- name: price_groups
-- One row per price group that has negotiated prices or members and whose name begins with :beginning.
select price_group from negotiated_prices where price_group is not null and starts_with(price_group, :beginning)
union
select price_group from price_group_members where starts_with(price_group, :beginning)
order by price_group;
