"""Messages 1.1 to 1.7.2: backups of the live primary.

More than ten files because each step of a backup, and each side of an archive of files, has a file of its own.
"""
