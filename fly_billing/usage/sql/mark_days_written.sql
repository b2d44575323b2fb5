-- No rows. Records the version of the usage table that wrote these landing days, including days that were only
-- deduplicated again.
update landing_days set lake_version = :lake_version where landing_day = any (:days)
