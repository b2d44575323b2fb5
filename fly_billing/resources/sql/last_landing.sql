-- One row: when the last of the landing days in [:first, :last] was landed.
select max(landed_at) as landed_at from landing_days where landing_day between :first and :last
