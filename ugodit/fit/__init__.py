"""The one loop: a network is moved until its images explain the measurements."""
