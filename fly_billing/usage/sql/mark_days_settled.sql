-- No rows. These landing days are as this version of the usage table has them, also those whose folder was not read again.
update landing_days set lake_version = :lake_version where landing_day = any (:days)
