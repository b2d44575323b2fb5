-- One row: how many organizations there are.
select count(*) from organizations
