"""Fuzzing of what is read back from a repository: whatever the bytes, the answer is a value or an error of ours."""
