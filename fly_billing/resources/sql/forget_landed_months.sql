-- No rows. What these days bring is counted anew; that they once brought usage of a month is remembered.
update landed_months set accepted = 0 where landing_day = any (:days)
