-- Replaces the sums of the organizations that were added up again (`rollups_now`).
delete from sql_month.usage_rollups as r
using (select distinct organization_id from rollups_now) as now
where r.organization_id = now.organization_id and r.month = :month;

insert into sql_month.usage_rollups (
    organization_id, month, meter, app, region, preset, memory, segment_start, quantity, events
)
select organization_id, month, meter, app, region, preset, memory, segment_start, quantity, events from rollups_now
