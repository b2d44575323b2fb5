-- One row: the organization; none if there is no such organization.
select id, name, currency from organizations where id = :id
