"""Rules of billing tests: the format of a case, and comparing. Pure: no file, no connection, no clock."""
