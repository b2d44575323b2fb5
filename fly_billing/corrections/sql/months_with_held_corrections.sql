-- One row per month (its start) with corrections that wait for a person: usage may be back, or a person has approved them.
select distinct cast(month as timestamp) at time zone 'UTC' as month from held_corrections order by 1
