-- name: add_sample_details
-- No rows. Details that someone changed stay.
insert into billing_details (
    organization_id, legal_name, email, line1, line2, postal_code, city, state, country, tax_ids, collection, net_days,
    purchase_order, memo
)
values (
    :organization_id, :legal_name, :email, :line1, :line2, :postal_code, :city, :state, :country, :tax_ids, :collection,
    :net_days, :purchase_order, :memo
)
on conflict do nothing;

-- name: add_commitment
-- No rows.
insert into commitments (id, organization_id, kind, description, amount, currency, first_month)
values (:id, :organization_id, 'minimum', :description, :amount, 'USD', :first_month)
on conflict do nothing;

-- name: add_coupon
-- No rows.
insert into coupons (code, description, percent, months)
values (:code, :description, :percent, :months)
on conflict do nothing;

-- name: add_credit_grant
-- No rows.
insert into credit_grants (id, organization_id, description, amount, currency, granted_at)
select :id, :organization_id, :description, :amount, 'USD', :at
where not exists (select from credit_grants where id = :id);

-- name: add_discount
-- No rows.
insert into discounts (id, organization_id, coupon_code, first_month, redeemed_at)
select :id, :organization_id, :coupon_code, :first_month, :at
where not exists (select from discounts where id = :id);

-- name: add_organization_link
-- No rows. Adds no link if the organization has had a final invoice of its own since first_month.
insert into organization_links (organization_id, payer_id, first_month)
select :organization_id, :payer_id, :first_month
where not exists (select from organization_links where organization_id = :organization_id)
    and not exists (
        select from invoices where organization_id = :organization_id and status <> 'open' and month >= :first_month
    );

-- name: add_tax_rate
-- No rows.
insert into tax_rates (id, organization_id, name, percent, first_month)
values (:id, :organization_id, :name, :percent, :first_month)
on conflict do nothing;
