"""Visitors and their processes: one port, access, what each process may do."""
