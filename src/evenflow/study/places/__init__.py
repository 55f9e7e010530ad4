"""Where the networks of a study are trained when not by processes of this machine."""
