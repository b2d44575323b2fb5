-- One row per event of the usage table: the hash of its key, and its landing day in days since 1970-01-01.
select hash(source, id) as hash, (landing_day - date '1970-01-01')::bigint as day from indexed
