-- One row: the organization.
select id, name, currency from organizations where id = :id
