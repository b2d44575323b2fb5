"""The texts of alerts, and the rule for when spending crosses a threshold. Pure."""
