-- One row per table of Dagster in the schema :place, with its name quoted for a statement. is_filled_by_set_up:
-- creating the tables adds rows to it. The complete set in the schema :unfinished shows which tables are Dagster's.
select format('%I.%I', cast(:place as text), c.relname) as table_name,
       c.relname in ('alembic_version', 'secondary_indexes', 'instance_info') as is_filled_by_set_up
  from pg_class c
 where c.relnamespace = to_regnamespace(:place)
   and c.relkind = 'r'
   and c.relname in (select m.relname from pg_class m where m.relnamespace = to_regnamespace(:unfinished))
 order by c.relname
