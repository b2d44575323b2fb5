-- name: add_tax_customers
-- No rows.
insert into tax_customers (organization_id, first_month, location, kind)
values (:organization_id, :first_month, :location, :kind);

-- name: add_tax_rates
-- No rows.
insert into tax_rates (
    id, organization_id, name, percent, is_inclusive, first_month, last_month, tax, category, legal_text, scope
)
values (
    :id, :organization_id, :name, :percent, :is_inclusive, :first_month, :last_month, :tax, :category, :legal_text,
    cast(:scope as jsonb)
);

-- name: change_tax_customer
-- No rows.
update tax_customers set location = :location, kind = :kind
where organization_id = :organization_id and first_month = :first_month;

-- name: change_tax_rate
-- No rows. The database refuses more than another end, once a final invoice was made with it.
update tax_rates
set
    percent = :percent, is_inclusive = :is_inclusive, last_month = :last_month, tax = :tax, category = :category,
    legal_text = :legal_text, scope = cast(:scope as jsonb)
where id = :id;

-- name: tax_customers_of
-- One row per tax status of these organizations.
select organization_id, first_month, location, kind
from tax_customers
where organization_id = any (:keys);

-- name: tax_rates_of
-- One row per tax rate that only one of these organizations has.
select id, organization_id, name, percent, is_inclusive, first_month, last_month, tax, category, legal_text, scope
from tax_rates
where organization_id = any (:keys);

-- name: withdraw_tax_customer
-- No rows. Final invoices keep the rates that resulted.
delete from tax_customers where organization_id = :organization_id and first_month = :first_month;

-- name: withdraw_tax_rate
-- No rows. The database refuses it if an invoice was made with it.
delete from tax_rates where id = :id;
