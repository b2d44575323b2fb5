-- No rows. Takes all rows of the files in `taken_out` out of `staged`.
delete from staged using taken_out where staged.landing_day = taken_out.landing_day and staged.path = taken_out.path
