"""Which op of a recorded computation is wrong: `explain`, and `power`, which measures a test by planted mistakes."""
