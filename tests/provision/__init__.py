"""What the tests need from the machine: found, started privately, and ended with the test run."""
