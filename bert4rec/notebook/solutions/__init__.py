"""What the cells below the exercises know: a file for each notebook, read when it is asked for."""
