"""The command line in a worker process, and what is common to the jobs that use it."""
