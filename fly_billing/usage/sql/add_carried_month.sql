-- No rows. The month's first levels are known, from this version of the usage table.
insert into carried_months (month, lake_version) values (:month, :lake_version)
