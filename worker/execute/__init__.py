"""Execute: leases on runs, the tasks that drive their runners, and the one writer that appends what they yield."""
