-- One row per series that holds something when the month begins.
select organization_id, meter, dimensions, series, level from carried_levels where month = :month
