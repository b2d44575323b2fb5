-- No rows. Deletes the rows of the files in `deleted_files` from `staged`.
delete from staged
using deleted_files
where staged.landing_day = deleted_files.landing_day and staged.path = deleted_files.path
