-- name: add_charges
-- No rows. An existing item does not change.
insert into one_off_items (id, organization_id, description, amount, currency, occurred_at)
values (:id, :organization_id, :description, :amount, 'USD', :occurred_at)
on conflict (id) do nothing;

-- name: add_contracts
-- No rows. An existing subscription only gets a new end.
insert into subscriptions (id, organization_id, price_key, started_at, ended_at)
values (:id, :organization_id, :price_key, :started_at, :ended_at)
on conflict (id) do update set ended_at = excluded.ended_at
where subscriptions.ended_at is distinct from excluded.ended_at;

-- name: add_organizations
-- No rows. An existing organization does not change.
insert into organizations (id, name, currency, price_book, stripe_customer_id, billing_group, created_at)
values (:id, :name, 'USD', 'fly', :stripe_customer_id, :billing_group, :created_at)
on conflict (id) do nothing;
