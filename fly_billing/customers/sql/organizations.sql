-- name: add_organization
-- No rows.
insert into organizations (id, name, currency, price_book, stripe_customer_id, billing_group, created_at)
values (:id, :name, :currency, :price_book, :stripe_customer_id, :billing_group, :created_at);

-- name: change_from_month
-- One row. Another currency or price book in this transaction applies from this month on; '': from the first month
-- without a final invoice.
select set_config('fly_billing.from_month', :month, true);

-- name: change_organization
-- No rows. Its billing group stays.
update organizations
set
    name = :name, currency = :currency, price_book = :price_book, stripe_customer_id = :stripe_customer_id,
    created_at = :created_at, closed_at = :closed_at
where id = :id;

-- name: number_of_organizations
-- One row: the number of organizations.
select count(*) from organizations;

-- name: listed_organizations
-- One row per organization, or only :id, or only those with :word in id or name: its terms at :at.
select
    o.id, o.name, o.currency, o.price_book, o.billing_group, o.created_at, o.closed_at,
    (
        select count(*) from subscriptions as s
        where s.organization_id = o.id and s.started_at <= :at and (s.ended_at is null or s.ended_at > :at)
    ) as subscriptions,
    (
        select l.payer_id from organization_links as l
        where l.organization_id = o.id and daterange(l.first_month, l.last_month, '[]') @> month_of(:at)
    ) as payer_id,
    to_char(last_final_month(o.id), 'YYYY-MM') as last_final_month
from organizations as o
where
    (cast(:id as text) is null or o.id = :id)
    and (cast(:with_closed as boolean) or o.closed_at is null or o.closed_at > :at)
    and (
        cast(:word as text) is null
        or strpos(lower(o.id), lower(:word)) > 0
        or strpos(lower(o.name), lower(:word)) > 0
    )
order by o.id;

-- name: organizations_to_write
-- One row per organization of :keys, with the columns that are written.
select id, name, currency, price_book, stripe_customer_id, billing_group, created_at, closed_at
from organizations
where id = any (:keys);
