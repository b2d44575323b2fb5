-- name: add_billing_details
-- No rows.
insert into billing_details (
    organization_id, legal_name, email, line1, line2, postal_code, city, state, country, tax_ids, collection, net_days,
    purchase_order, memo, footer
)
values (
    :organization_id, :legal_name, :email, :line1, :line2, :postal_code, :city, :state, :country, :tax_ids, :collection,
    :net_days, :purchase_order, :memo, :footer
);

-- name: billing_details_of
-- One row per organization of :keys that has billing details.
select
    organization_id, legal_name, email, line1, line2, postal_code, city, state, country, tax_ids, collection, net_days,
    purchase_order, memo, footer
from billing_details
where organization_id = any (:keys);

-- name: change_billing_details
-- No rows.
update billing_details
set
    legal_name = :legal_name, email = :email, line1 = :line1, line2 = :line2, postal_code = :postal_code, city = :city,
    state = :state, country = :country, tax_ids = :tax_ids, collection = :collection, net_days = :net_days,
    purchase_order = :purchase_order, memo = :memo, footer = :footer
where organization_id = :organization_id;
