"""What several claims take their experiments from: fresh networks, trainings, timing."""
