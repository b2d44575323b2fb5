-- One row: the version of the usage table from which on it holds all the landing days in [:first, :last].
select max(lake_version) as lake_version from landing_days where landing_day between :first and :last
