-- One row per statement, in order, that completes Dagster's tables in the schema :place from the complete set in the
-- schema :unfinished: missing tables, missing indexes of existing tables, foreign keys to those, records of finished
-- data migrations, and the version.
with there as (
    select relname
      from pg_class
     where relnamespace = to_regnamespace(:place)
),
made as (
    select oid, relname, relname in (select relname from there) as is_there
      from pg_class
     where relnamespace = to_regnamespace(:unfinished)
       and relkind = 'r'
),
names as (
    select quote_ident(:unfinished) as unfinished, quote_ident(:place) as place
)
select statement
  from (
        select 1 as step,
               m.relname as subject,
               format('alter table %s.%I set schema %s', unfinished, m.relname, place) as statement
          from made m, names
         where not m.is_there
        union all
        select 2,
               x.relname,
               replace(pg_get_indexdef(i.indexrelid), format(' ON %s.', unfinished), format(' ON %s.', place))
          from made m
          join pg_index i on i.indrelid = m.oid
          join pg_class x on x.oid = i.indexrelid, names
         where m.is_there
           and x.relname not in (select relname from there)
        union all
        select 3,
               k.conname,
               format('alter table %s.%I drop constraint %I, add constraint %I %s', place, m.relname, k.conname,
                   k.conname,
                      replace(pg_get_constraintdef(k.oid), format('REFERENCES %s.', unfinished),
                              format('REFERENCES %s.', place)))
          from made m
          join pg_constraint k on k.conrelid = m.oid and k.contype = 'f'
          join made r on r.oid = k.confrelid, names
         where not m.is_there
           and r.is_there
        union all
        select 4,
               m.relname,
               format('insert into %s.secondary_indexes (name, create_timestamp, migration_completed)'
                      ' select name, create_timestamp, migration_completed from %s.secondary_indexes'
                      ' on conflict (name) do nothing', place, unfinished)
          from made m, names
         where m.relname = 'secondary_indexes'
           and m.is_there
        union all
        select 5,
               m.relname,
               format('insert into %s.alembic_version select version_num from %s.alembic_version'
                      ' where not exists (select from %s.alembic_version)', place, unfinished, place)
          from made m, names
         where m.relname = 'alembic_version'
           and m.is_there
       ) as statements
 order by step, subject
