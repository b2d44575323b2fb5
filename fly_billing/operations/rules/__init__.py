"""Rules of operations. Pure: no connection, no clock, no environment."""
