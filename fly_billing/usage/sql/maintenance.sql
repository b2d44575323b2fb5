-- name: hold_landing_days
-- No rows. Lets this transaction replace the records of these landing days' data files. No value changes: their usage
-- is the same.
update landing_days set lake_version = lake_version where landing_day = any (:days);

-- name: move_snapshots
-- No rows. Records that the usage of all current snapshots of one version of the usage table is also that of another.
with confirmed as (
    update usage_confirmations set lake_version = :written where lake_version = :opened
)

update usage_snapshots set lake_version = :written where is_current and lake_version = :opened;

-- name: referenced_versions
-- One row per version of the usage table that an invoice, a correction or a current roll-up refers to.
select distinct lake_version from usage_as_of where lake_version is not null order by lake_version;
