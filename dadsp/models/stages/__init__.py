"""What Lightning trains, imported when a system trains: Lightning takes seconds that predicting does without."""
