"""What capeval keeps on disk: runs, traces, the journal of answers. Writes are atomic; loads check what they read."""
