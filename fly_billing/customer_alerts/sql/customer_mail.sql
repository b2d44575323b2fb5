-- name: alert_recipient
-- One row, or none: the address that gets the alerts about an organization.
select coalesce(a.email, d.email) as email
from organizations as o
left join alert_addresses as a on a.organization_id = o.id
left join billing_details as d on d.organization_id = o.id
where o.id = :organization_id and coalesce(a.email, d.email) is not null;

-- name: is_unsubscribed
-- One row if the address wants no alerts about the organization, none otherwise.
select unsubscribed_at from alert_unsubscriptions
where organization_id = :organization_id and address_sha256 = :address_sha256;

-- name: remove_alert_address
-- One row: whether the organization had an address of its own for alerts.
select remove_alert_address(:organization_id) as was_set;

-- name: set_alert_address
-- One row. The organization's alerts go to this address.
select set_alert_address(:organization_id, :email) as done;

-- name: set_alert_address_with_token
-- One row, as of set_alert_address; null removes it. For the role that can only read, with an issuer's token.
select set_alert_address_with_token(:token_id, :organization_id, cast(:email as text)) as done;

-- name: subscribe_to_alerts
-- One row per address that wanted no alerts about the organization, and gets them again.
delete from alert_unsubscriptions where organization_id = :organization_id returning address_sha256;

-- name: unsubscribe_from_alerts
-- One row: whether the address wanted alerts until now. It wants none from now on.
select unsubscribe_from_alerts(:organization_id, :address_sha256) as is_new;
