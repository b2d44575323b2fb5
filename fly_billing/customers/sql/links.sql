-- name: add_links
-- No rows.
insert into organization_links (organization_id, payer_id, first_month, last_month)
values (:organization_id, :payer_id, :first_month, :last_month);

-- name: change_link
-- No rows. The database refuses another payer, and an end before a billed month.
update organization_links set payer_id = :payer_id, last_month = :last_month
where organization_id = :organization_id and first_month = :first_month;

-- name: links_of
-- One row per link of these organizations to a payer.
select organization_id, payer_id, first_month, last_month
from organization_links
where organization_id = any (:keys);

-- name: withdraw_link
-- No rows. The database refuses it if a month of it is billed.
delete from organization_links where organization_id = :organization_id and first_month = :first_month;
