"""A population of small trainings, some of them ailing, with what is true of each found by experiment."""
