-- One row per organization with an event of these meters in the month, or with a level from an earlier month.
select distinct organization_id from events_of_month where list_contains($meters, meter)
union
select distinct organization_id from carried_levels
