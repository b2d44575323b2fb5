-- One row per table and view of the billing database, by name.
select relname
  from pg_class
 where relnamespace = to_regnamespace(current_schema())
   and relkind in ('r', 'p', 'v', 'm')
 order by relname
