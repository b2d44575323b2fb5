-- stripe_event_settle
-- One row if the event was still waiting: now it is known what it came to.
update stripe_events set
    outcome = :outcome, reason = :reason, code = :code, customer_text = :customer_text, operator_text = :operator_text
where id = :id and outcome = 'waiting'
returning id
