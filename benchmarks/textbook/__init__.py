"""The textbooks' solutions against a gradient that does not flow, measured on faults and on a sound network."""
