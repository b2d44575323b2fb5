-- One row, so that all of it is from one moment: the usage tables on record (the one in use last), the last version into which
-- a day was landed (null: none ever was), and what the table must hold per landing day and usage month. `rows` and `files`
-- of a part are null where it was landed before they were kept.
select
    (select max(lake_version) from landing_days) as last_landed,
    (
        select coalesce(json_agg(t order by t.generation), '[]')
        from usage_tables as t
    ) as tables,
    (
        select coalesce(json_agg(json_build_array(m.landing_day, m.month, m.accepted, m.rows, m.files)), '[]')
        from landed_months as m
    ) as parts
