-- name: alert_recipient
-- One row, or none: the address that gets the alerts about an organization.
select d.email from billing_details as d
where d.organization_id = :organization_id and d.email is not null;

-- name: is_unsubscribed
-- One row if the address wants no alerts about the organization, none otherwise.
select unsubscribed_at from alert_unsubscriptions
where organization_id = :organization_id and address_sha256 = :address_sha256;

-- name: subscribe_to_alerts
-- One row per address that wanted no alerts about the organization, and gets them again.
delete from alert_unsubscriptions where organization_id = :organization_id returning address_sha256;

-- name: unsubscribe_from_alerts
-- One row: whether the address wanted alerts until now. It wants none from now on.
select unsubscribe_from_alerts(:organization_id, :address_sha256) as is_new;
