-- One row per table of Dagster's in the schema :place, with its name as a statement can use it, and whether making the
-- tables alone puts rows into it. What is Dagster's is told by the whole set in the schema :unfinished.
select format('%I.%I', cast(:place as text), c.relname) as table_name,
       c.relname in ('alembic_version', 'secondary_indexes', 'instance_info') as is_filled_by_set_up
  from pg_class c
 where c.relnamespace = to_regnamespace(:place)
   and c.relkind = 'r'
   and c.relname in (select m.relname from pg_class m where m.relnamespace = to_regnamespace(:unfinished))
 order by c.relname
