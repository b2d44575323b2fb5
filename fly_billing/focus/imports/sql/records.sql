-- name: add_imported_organizations
-- No rows. An existing organization does not change, except that it may begin earlier: its charges must be billable.
insert into organizations (id, name, currency, price_book, billing_group, created_at)
values (:id, :name, :currency, :book, :billing_group, :created_at)
on conflict (id) do update set created_at = excluded.created_at
where excluded.created_at < organizations.created_at;

-- name: add_one_off_items
-- No rows. An existing item does not change.
insert into one_off_items (id, organization_id, description, amount, currency, occurred_at, imported_as)
values (:id, :organization_id, :description, :amount, :currency, :occurred_at, :imported_as)
on conflict (id) do nothing;

-- name: count_organizations
-- One row: the number of organizations.
select count(*) from organizations;

-- name: imported_one_offs
-- One row per one-off item of these organizations in [since, until).
-- `imported_as` is null if no import made the item, or an import from before this column existed.
select id, organization_id, description, amount, currency, occurred_at, imported_as
  from one_off_items
 where organization_id = any (:organizations) and occurred_at >= :since and occurred_at < :until
 order by id;

-- name: organizations_of_book
-- One row per organization that this price book applies to.
select id, currency from organizations where price_book = :book;

-- name: prices_of_book
-- One row per price version of the book.
select id from prices where book = :book;
