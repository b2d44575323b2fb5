-- name: add_reservation
-- No rows. Inserts the upfront charge of a reservation, and a credit for each of its months.
with charged as (
    insert into one_off_items (
        id, organization_id, description, amount, currency, occurred_at, period_start, period_end
    )
    values (
        :id, :organization_id, :description, :upfront_amount, :currency, :occurred_at, :occurred_at, :ends_at
    )
)

insert into credit_grants (
    id, organization_id, description, amount, currency, priority, scope, granted_at, expires_at
)
select credit_id, :organization_id, :description, :monthly_credit, :currency, :priority, cast(:scope as jsonb),
    month_start, month_end
from unnest(cast(:credit_ids as uuid[]), cast(:starts as timestamptz[]), cast(:ends as timestamptz[]))
    as m (credit_id, month_start, month_end);

-- name: one_off_items_known
-- One row per existing one-off item with one of these ids.
select id from one_off_items where id = any (:ids);

-- name: reservation_buyer
-- At most one row: the organization, its payer in one of these months, and the first of them whose invoice is final.
select
    o.id, o.currency, o.price_book,
    (
        select l.payer_id
        from organization_links as l
        where l.organization_id = o.id and daterange(l.first_month, l.last_month, '[]')
            && daterange(:first, :last, '[]')
        order by l.first_month
        limit 1
    ) as payer_id,
    (
        select min(i.month)
        from invoices as i
        where i.organization_id = o.id and i.status <> 'open' and i.month between :first and :last
    ) as final_month
from organizations as o
where o.id = :organization_id;
