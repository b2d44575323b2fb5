-- A volume that moved was carried on under its old dimensions as well. These levels are a cache: the next roll-up makes
-- them again from the usage table.
delete from carried_months;

drop index one_level_per_series;
create unique index one_level_per_series on carried_levels (month, organization_id, meter, md5(series));
