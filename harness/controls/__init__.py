"""Control matrix of the records in a folder of reports, and its forms for people and programs."""
