-- No rows. Takes the month's first levels away, with the month.
delete from carried_months where month = :month
